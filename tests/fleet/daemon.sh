base=/var/log/apps/$APP_NAME
mine=$(mktemp -d "/tmp/$APP_NAME.XXXXXX")
echo here > "$mine/word"
exec 3>> "$base.beats"
tell() {
    echo "$(date +%s.%N) $$ $1" >&3
    echo "beat $$ $1"
}
trap 'tell TERM; exit' TERM
while [ ! -e "$base.end" ]; do
    tell "$(cat "$mine/word" 2> /dev/null || echo lost)"
    sleep 0.5
done
rm -r "$mine"
tell ended
