#!/bin/sh
# Once: the cluster's certificate authority, a certificate for each CockroachDB node, one for the
# database user and one for the event store (its server and its clients show the same one).
set -eu
cd /certs
[ -e done ] && exit 0
ca="--ca-key=/certs/ca.key"
cockroach cert create-ca --certs-dir=/certs $ca
for node in roach1 roach2 roach3 eventstore; do
    mkdir -p "$node"
    cp ca.crt "$node/"
    cockroach cert create-node "$node" localhost 127.0.0.1 --certs-dir="$node" $ca
done
for user in root orders; do
    cockroach cert create-client "$user" --certs-dir=/certs $ca
done
# The image's user reads them; ca.key is needed no more.
chown -R 999 eventstore client.orders.*
touch done
