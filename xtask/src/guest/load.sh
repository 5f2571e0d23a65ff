#!/bin/busybox sh
# load MODULE [PARAMETER=VALUE]...: loads a module of /mod with those that it needs.
name=$(echo "$1" | tr - _)
shift
if [ ! -f "/mod/$name.ko" ]; then
    # Built in, or not there at all: whoever uses it finds out.
    [ -d "/sys/module/$name" ] && exit 0
    # One without parameters is not to be seen there.
    tr - _ </mod/builtin | grep -q "/$name\.ko$" && exit 0
    echo "load: no module $name in /mod, and none built in" >&2
    exit 1
fi
for need in $(cat "/mod/$name.needs"); do
    [ -d "/sys/module/$need" ] || load "$need" || exit 1
done
exec insmod "/mod/$name.ko" "$@"
