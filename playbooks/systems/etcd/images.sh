#!/usr/bin/env bash
# Makes the image of compose.yaml from Debian's packages etcd-server and etcd-client. To use
# another image instead, such as the official one, make none and say which:
#     ETCD_IMAGE=NAME docker-compose up -d
# One that has no shell cannot run the probe that finds the leader: leave 'leader' out of the
# playbook then, and name the member that is to be isolated.
set -euo pipefail
"$(dirname "$0")/../image.sh" gameday-systems-etcd etcd etcdctl
