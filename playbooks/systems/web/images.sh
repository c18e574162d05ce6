#!/usr/bin/env bash
# Makes the image of compose.yaml from Debian's package nginx-light. To use another image instead,
# such as the official one, make none and say which:
#     NGINX_IMAGE=nginx docker-compose up -d
set -euo pipefail
"$(dirname "$0")/../image.sh" gameday-systems-web nginx cat
