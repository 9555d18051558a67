#!/bin/sh
# A chat client out of mosquitto_sub, mosquitto_pub and mosquitto_rr: logs in, sends, hears, asks, goes away, and comes
# back to the same session. Prints a line for each step; crates/magpie/tests/clients.rs is the other side and reads them.
# Usage: chat.sh PORT USER PASSWORD PEER mqttv31|mqttv311|mqttv5
set -eu
port=$1 user=$2 password=$3 peer=$4 version=$5
patience=30

set -- -h 127.0.0.1 -p "$port" -u "$user" -P "$password" -V "$version"

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

# The next two messages of the session, and what they say: one line of JSON each, among the lines of -d. What -C 2 would
# do leaves SUBACK unread, and the reset that follows from that can overtake the last PUBACK.
hear_two() {
    mkfifo "$folder/lines"
    stdbuf -oL mosquitto_sub "$@" -d -i script -c -q 1 -t 'im/in/+' -W $patience -F %p >"$folder/lines" &
    heard=0 subscribed=no
    while [ $heard -lt 2 ] || [ $subscribed = no ]; do
        read -r line || exit 1
        case $line in
        '{'*)
            heard=$((heard + 1))
            echo "$line" | sed 's/.*"text":"\([^"]*\)".*/heard \1/'
            ;;
        Subscribed*) subscribed=yes ;;
        esac
    done <"$folder/lines"
    kill $!
    wait $! || true
    rm "$folder/lines"
}

mosquitto_sub "$@" -i script -c -q 1 -t 'im/in/+' -E
echo ready
mosquitto_pub "$@" -i sender -q 1 -t "im/to/@$peer" -m 'hi from a shell'
echo sent
hear_two "$@"
answer=$(mosquitto_rr "$@" -i asker -q 1 -t im/ask/profile.get/7 -e im/answer/7 -m '{}' -W $patience)
echo "answered $(echo "$answer" | sed 's/.*"account":"\([^"]*\)".*/\1/')"
echo away
read -r _
echo back
hear_two "$@"
echo done
