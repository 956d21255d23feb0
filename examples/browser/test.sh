#!/usr/bin/env bash
# Drives the page in a headless Chromium and compares its numbers with the command's; leaves a screenshot in the folder of the page.
#   examples/browser/test.sh [FOLDER]           (build/browser)
# Needs chromium (or CHROMIUM), node and npm.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-build/browser}
examples/browser/make.sh "$folder"
[ -d "$folder/packages/node_modules/puppeteer-core" ] || npm install --prefix "$folder/packages" --no-audit --no-fund --loglevel=error
rulegrad=$(realpath "${RULEGRAD:-build/src/cli/rulegrad}")
test=$(realpath examples/browser/test.mjs)
cd "$folder"
python3 -u -m http.server 0 --bind 127.0.0.1 >server.log 2>&1 &
server=$!
trap 'kill $server' EXIT
until port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' server.log | head -1) && [ -n "$port" ]; do sleep 0.1; done
node "$test" "http://127.0.0.1:$port/" "$rulegrad" screenshot.png
echo "looked at: $folder/screenshot.png"
