#!/bin/sh
# Runs the commands of one block of docs/topics-examples.md against the server at HOST and PORT, with what goes wrong on
# standard output too. `sleep` waits until the block's subscribers in the background have subscribed, and no longer.
# Usage: examples.sh HOST PORT SUBSCRIBERS COMMANDS
set -u
host=$1 port=$2 subscribers=$3 commands=$4
# Seconds until a command that nothing comes for is ended.
patience=10
exec 2>&1

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
: >"$folder/subscribed"

mosquitto_pub() {
    command mosquitto_pub -h "$host" -p "$port" "$@"
}

mosquitto_rr() {
    command mosquitto_rr -h "$host" -p "$port" -W $patience "$@"
}

# Among the lines of -d, which are kept back, is the one that says that it has subscribed.
mosquitto_sub() {
    stdbuf -oL mosquitto_sub -h "$host" -p "$port" -W $patience -d "$@" | while IFS= read -r line; do
        case $line in
        'Client '*) ;;
        'Subscribed '*) echo >>"$folder/subscribed" ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
}

sleep() {
    rounds=0
    while [ "$(wc -l <"$folder/subscribed")" -lt "$subscribers" ]; do
        rounds=$((rounds + 1))
        if [ $rounds -gt $((patience * 50)) ]; then
            echo "a subscriber has not subscribed"
            return 1
        fi
        command sleep 0.02
    done
}

eval "$commands"
