// Command stickytop shows live which pod each client session is pinned to, how
// that is known, and how long it lasts. It is also a kubectl plugin.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // clouds' kubeconfig entries

	"github.com/kubestickytop/stickytop/internal/quiet"
)

func main() {
	quiet.Restore()
	debug.SetGCPercent(50) // a heap of tens of megabytes: collecting twice as often costs nothing that shows
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	stop()
	os.Exit(code)
}
