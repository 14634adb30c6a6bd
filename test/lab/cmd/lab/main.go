// Command lab starts, stops and disturbs a real Kubernetes on one Linux machine. See docs/lab.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "_") {
		if err := inner(os.Args[1], os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(127)
		}
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "workload" {
		if err := runWorkload(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := os.Setenv("PATH", os.Getenv("PATH")+adminTools); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// adminTools is where nft, iptables and haproxy are, which no user but root has
// in PATH on Debian.
const adminTools = ":/usr/local/sbin:/usr/sbin:/sbin"

var name string

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "lab",
		Short:         "A real Kubernetes without containers, for tests and demonstrations",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.PersistentFlags().StringVar(&name, "name", "lab", "which lab, when several run")
	cmd.AddCommand(checkCommand(), buildCommand(), upCommand(), downCommand(), statusCommand(), execCommand(), shellCommand(), kubeconfigCommand())
	cmd.AddCommand(podFaults()...)
	cmd.AddCommand(clusterFaults()...)
	return cmd
}
