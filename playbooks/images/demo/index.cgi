#!/bin/sh
# The mounted page, with the answering pod and node in the places it leaves for them; each answer is a line of the log.
busybox printf 'Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\r\n'
busybox sed -e "s/@POD@/${POD_NAME:-unknown}/" -e "s/@NODE@/${NODE_NAME:-unknown}/" /www/page/index.html
busybox echo "answered ${REMOTE_ADDR:-somebody}" >&2
