package kernel

import "github.com/google/nftables"

type (
	conn     = *nftables.Conn
	dumpConn = *dumper
)
