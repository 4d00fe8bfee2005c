#!/bin/sh
exec "$(dirname "$0")/cert-gen" "$@"
