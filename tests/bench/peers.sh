#!/usr/bin/env bash
# Installs the peers that the harness compares with, for a measuring run on Debian: tests/bench/peers.sh FOLDER
# What one registry does not give is named and left out; run.py measures what it finds.
set -uo pipefail
folder=$(realpath -m "${1:?usage: tests/bench/peers.sh FOLDER}")
mkdir -p "$folder/bin"

missing() { echo "not installed: $*" >&2; }

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    for package in ruby-foreman supervisor tmux; do # tmux: overmind runs its children in it
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null || missing "$package"
    done
fi

python3 -m venv "$folder/python" && for package in honcho circus; do
    "$folder/python/bin/pip" install -q "$package" || missing "$package"
done
ln -sf "$folder"/python/bin/{honcho,circusd} "$folder/bin/"

# Each in a folder of its own: foreman's port to Node.js calls its program nf.
for package in concurrently foreman pm2; do
    npm install --silent --no-fund --no-audit --prefix "$folder/node/$package" "$package" >/dev/null || missing "$package"
done
ln -sf "$folder/node/concurrently/node_modules/.bin/concurrently" "$folder/node/foreman/node_modules/.bin/nf" \
    "$folder/node/pm2/node_modules/.bin/pm2-runtime" "$folder/bin/"

# The ones in Go: a checkout in FOLDER/src/NAME goes before the published module.
export GOBIN="$folder/bin" CGO_ENABLED=0
for module in github.com/DarthSim/overmind/v2 github.com/DarthSim/hivemind github.com/mattn/goreman \
    github.com/ddollar/forego github.com/f1bonacc1/process-compose; do
    name=${module%/v2}
    checkout="$folder/src/${name##*/}"
    if [ -d "$checkout" ]; then
        (cd "$checkout" && go build -o "$folder/bin/${name##*/}" .) || missing "$checkout"
    else
        go install "$module@latest" || missing "$module"
    fi
done

echo "measure with: python tests/bench/run.py --peers-in $folder/bin"
