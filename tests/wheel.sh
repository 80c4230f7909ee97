#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment, and does with it what needs no checkout: make test-wheel.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_CONSTRAINT="$checkout/constraints.txt" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1
unset PYTHONPATH RNNSCOPE_OUTPUTS RNNSCOPE_DATA

mkdir "$work/source"
tar -C "$checkout" --exclude=./.git --exclude=./.venv --exclude=./outputs --exclude=./build --exclude=./site -cf - . | tar -C "$work/source" -xf -
"$python" -m pip wheel --no-deps --wheel-dir "$work" "$work/source"
"$python" -m venv "$work/env"
pip=("$work/env/bin/python" -m pip)
"${pip[@]}" install --no-deps --retries 0 --timeout 30 --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' "$checkout/constraints.txt")" \
  || echo "found no CPU build of torch: installing it from the package index"
"${pip[@]}" install "$work"/rnnscope-*.whl

mkdir "$work/empty" && cd "$work/empty"
rnnscope="$work/env/bin/rnnscope"
"$rnnscope" --help | grep "rnnscope train" > /dev/null
"$rnnscope" train --help | grep "^model: .*lstm" > /dev/null
COMP_LINE="rnnscope train model=l" "$rnnscope" -sc query=bash | grep "model=lstm" > /dev/null
seq 1 3000 > text.txt
"$rnnscope" train text=text.txt trainer=cpu model.hidden_size=16 trainer.max_steps=20 trainer.val_every=10 > train.txt
grep "finished at step 20" train.txt
"$rnnscope" sample length=50 seed=1 > sample.txt && test -s sample.txt
for example in shakespeare penn; do
  "$rnnscope" sample "run=examples/$example" length=50 seed=1 > sample.txt && test -s sample.txt
done
"$rnnscope" visualize run=examples/shakespeare output=page.html memory=false causal=false > /dev/null && test -s page.html
echo "the wheel works without a checkout"
