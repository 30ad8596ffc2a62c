#!/bin/sh
# The core that cargo built last, wherever its target folder is.
here=$(dirname "$0")
target=${CARGO_TARGET_DIR:-$here/../target}
for built in "$INTEGRATION_CORE" "$target/release/integration-core" "$target/debug/integration-core"; do
  if [ -n "$built" ] && [ -x "$built" ]; then
    exec "$built" "$@"
  fi
done
echo "there is no integration-core in $target: cargo build -p integration-core" >&2
exit 127
