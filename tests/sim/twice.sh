#!/bin/sh
# Runs a simulation twice. It must succeed and print the same both times, hash included.
set -e
one=$("$@") || { echo "$one"; exit 1; }
two=$("$@") || { echo "$two"; exit 1; }
echo "$one"
if [ "$one" != "$two" ]; then
	echo "the second run differs:"
	echo "$two"
	exit 1
fi
