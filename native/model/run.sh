#!/bin/sh
# Checks the models with Spin.
#   run.sh              both models as they are, and that each weakened site they model is found out
#   run.sh FILE N       one model with ordering site N weakened: fails if the model notices
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# One line a configuration: sizes that together cover deaths and rivalry, each small enough.
configurations() {
    if [ "$1" = wake.pml ]; then
        echo -DALL
        return
    fi
    echo "-DSECOND=0 -DTRIES=2 -DREADER_DEATHS=1 -DWRITER_DEATHS=1"
    echo "-DTRIES=2"
    echo "-DREADER_DEATHS=1"
    echo "-DWRITER_DEATHS=1"
}

verify() {
    configurations "$1" | while read -r options; do
        rm -f pan pan.* ./*.trail
        # shellcheck disable=SC2086
        spin -DWEAKEN="$2" $options -a "$here/$1" >/dev/null
        ${CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c
        ./pan -m200000 >pan.out
        if grep -q 'max search depth too small' pan.out; then
            echo "search depth too small" >&2
            exit 2
        fi
        errors=$(sed -n 's/.*errors: *\([0-9]*\).*/\1/p' pan.out)
        states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.out)
        echo "$1 $options site $2: $errors errors, $states states"
        [ "$errors" = 0 ] || exit 1
    done
}

if [ $# -ge 1 ]; then
    verify "$1" "${2:-0}"
    exit
fi
verify ring.pml 0
verify wake.pml 0
for mutant in ring.pml:1 ring.pml:2 ring.pml:4 ring.pml:5 ring.pml:6 ring.pml:7 ring.pml:8 \
    ring.pml:9 ring.pml:10 wake.pml:12 wake.pml:13 wake.pml:14 wake.pml:15 wake.pml:23 wake.pml:24; do
    if verify "${mutant%:*}" "${mutant#*:}"; then
        echo "the model does not notice site ${mutant#*:}" >&2
        exit 1
    fi
done
