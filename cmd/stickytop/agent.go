package main

import (
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/agent"
)

const agentCommand = "agent"

// agentGC lets an agent's heap grow by a tenth between two collections, in
// place of doubling: an agent is there for the users of its node, and its heap
// is a few MB.
const agentGC = 10

// newAgent is the process of the pods that `agents up` makes.
func newAgent(streams genericiooptions.IOStreams) *cobra.Command {
	var (
		c    agent.Config
		port int
	)
	cmd := &cobra.Command{
		Use:    agentCommand,
		Short:  "Be an agent: what the pods of 'agents up' run",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetGCPercent(agentGC)
			c.Version, c.Pod, c.Node = version, os.Getenv("POD_NAME"), os.Getenv("NODE_NAME")
			c.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
			s, err := agent.NewServer(c)
			if err != nil {
				return usageError("agent: %w", err)
			}
			fmt.Fprintf(streams.Out, "stickytop %s, agent of run %s, role %s, listens on %s; ends after %s without a word, after %s at the latest\n",
				version, affinity.Clean(c.Run, 60), c.Role, c.Address, c.Silence, c.Life)
			why, err := s.Run(cmd.Context())
			if err != nil {
				return cannot("", "agent: %w", err)
			}
			fmt.Fprintln(streams.Out, "ended: "+why)
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&c.Role, "role", agent.RoleClient, "client or kernel")
	fs.IntVar(&port, "port", 0, "to listen on, on loopback")
	fs.StringVar(&c.Digest, "digest", "", "SHA-256 of the run's token")
	fs.DurationVar(&c.Silence, "silence", 30*time.Second, "end after that long without a word")
	fs.DurationVar(&c.Life, "life", time.Hour, "end after that long, whatever is said")
	fs.StringVar(&c.Run, "run", "", "name of the run")
	return cmd
}
