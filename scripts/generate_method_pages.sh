#!/usr/bin/env bash
# Writes docs/methods/ and the tables of docs/rule-language.md from the built command, so that they say what the rules say.
set -euo pipefail
cd "$(dirname "$0")/.."
rulegrad=${1:-build/src/cli/rulegrad}

"$rulegrad" --version >/dev/null  # before anything is removed
mkdir -p docs/methods
rm -f docs/methods/*.md
"$rulegrad" methods --markdown >docs/methods/README.md
"$rulegrad" methods | sed -n 's/^\([a-z][A-Za-z0-9_.]*\).*/\1/p' | while read -r method; do
  "$rulegrad" show --markdown "$method" >"docs/methods/$method.md"
done

for table in words operators samplers; do
  awk -v command="$rulegrad $table" -v name="$table" '
    $0 == "<!-- rulegrad " name " -->" { print; while ((command | getline line) > 0) print line; skip = 1; next }
    $0 == "<!-- end -->" { skip = 0 }
    !skip' docs/rule-language.md >docs/rule-language.md.new
  mv docs/rule-language.md.new docs/rule-language.md
done
