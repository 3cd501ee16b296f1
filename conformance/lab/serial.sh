#!/bin/sh
# Runs in a machine of the lab: one command per line of the second serial port; says what it wrote, and how it ended.
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo 2>/dev/null
echo READY >&3
while IFS= read -r line <&3; do
    sh -c "$line" >/tmp/out 2>&1 </dev/null
    code=$?
    base64 -w0 /tmp/out >&3
    echo " END $code" >&3
done
