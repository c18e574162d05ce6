#!/usr/bin/env bash
# Makes the image of compose.yaml from Debian's packages redis-server and redis-tools. To use
# another image instead, such as the official one, make none and say which:
#     REDIS_IMAGE=redis:7 docker-compose up -d
set -euo pipefail
"$(dirname "$0")/../image.sh" gameday-systems-redis redis-server redis-cli cat
