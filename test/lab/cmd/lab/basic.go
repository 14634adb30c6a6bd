package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestickytop/stickytop/test/lab"
	builder "github.com/kubestickytop/stickytop/test/lab/internal/build"
	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

func upCommand() *cobra.Command {
	var o lab.Options
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a lab; builds its programs first when they are not built yet",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			if err := build(cmd.Context()); err != nil {
				return err
			}
			if o.Nodes == 0 {
				return fmt.Errorf("0 nodes: want 1 to 9")
			}
			o.Name, o.Program, o.Detached, o.Progress = name, self, true, os.Stderr
			began := time.Now()
			l, err := lab.Start(cmd.Context(), o)
			if err != nil {
				return err
			}
			which := ""
			if cmd.Flags().Changed("name") {
				which = " --name " + l.Spec.Name
			}
			fmt.Printf("Lab %s is up after %s. `lab shell%s` opens a shell in it, `lab down%s` ends it.\n", l.Spec.Name, time.Since(began).Round(100*time.Millisecond), which, which)
			return nil
		},
	}
	cmd.Flags().IntVar(&o.Nodes, "nodes", 2, "nodes, 1 to 9")
	cmd.Flags().StringVar(&o.Proxy, "proxy", "nftables", "kube-proxy's mode: nftables or iptables; with a comma, the nodes take them in turn")
	cmd.Flags().StringVar(&o.Ingress, "ingress", "traefik-nginx", "ingress controller: traefik-nginx, traefik or haproxy")
	return cmd
}

func build(ctx context.Context) error {
	cache, err := layout.Cache()
	if err != nil {
		return err
	}
	return builder.All(ctx, cache, os.Stderr)
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build the lab's programs into the cache: once, about 15 minutes on two cores",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := build(cmd.Context()); err != nil {
				return err
			}
			cache, err := layout.Cache()
			if err == nil {
				fmt.Println("Everything is built, in", cache)
			}
			return err
		},
	}
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End a lab and remove all of it but the cache of built programs",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			was, err := lab.Down(name)
			if err == nil && !was {
				fmt.Printf("No lab %s was running.\n", name)
			}
			return err
		},
	}
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the labs that run, and one lab's processes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := lab.List()
			if err != nil {
				return err
			}
			for _, n := range names {
				fmt.Println("running:", n)
			}
			l, err := lab.Attach(name)
			if err != nil {
				return err
			}
			s, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Printf("\n%s: %s %s\n%d nodes, kube-proxy %s, ingress %s, folder %s\n", name, s.Phase, s.Error, s.Spec.Nodes, s.Spec.Proxy, s.Spec.Ingress, s.Spec.Dir)
			for _, p := range s.Processes {
				fmt.Printf("  %-28s %s\n", p.Name, p.State)
			}
			for _, f := range s.Faults {
				fmt.Println("  fault:", f)
			}
			return nil
		},
	}
}

func execCommand() *cobra.Command {
	var in string
	cmd := &cobra.Command{
		Use:   "exec [--in NAMESPACE] COMMAND [ARG...]",
		Short: "Run a command inside a lab: client (the default), control, node1, ..., pod/NAME",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return run(cmd, in, args) },
	}
	cmd.Flags().StringVar(&in, "in", "client", "network namespace: client, control, node1, ..., pod/NAME, pod/NAMESPACE/NAME")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func shellCommand() *cobra.Command {
	var in string
	cmd := &cobra.Command{
		Use:   "shell",
		Short: "Open a shell inside a lab, with KUBECONFIG set",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			shell := os.Getenv("SHELL")
			if shell == "" {
				shell = "/bin/sh"
			}
			return run(cmd, in, []string{shell})
		},
	}
	cmd.Flags().StringVar(&in, "in", "client", "network namespace, as for exec")
	return cmd
}

func run(cmd *cobra.Command, in string, args []string) error {
	l, err := lab.Attach(name)
	if err != nil {
		return err
	}
	c, err := l.Command(cmd.Context(), in, args[0], args[1:]...)
	if err != nil {
		return err
	}
	if c.Err != nil {
		return c.Err
	}
	// Nothing stays between: Ctrl-C, a closed terminal and job control reach the command as if it had been typed outside.
	return syscall.Exec(c.Path, c.Args, c.Env)
}

func kubeconfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "kubeconfig [admin|viewer|blind]",
		Short:     "Print the path of a user's kubeconfig, for use inside the lab",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: []string{"admin", "viewer", "blind"},
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := lab.Attach(name)
			if err != nil {
				return err
			}
			user := "admin"
			if len(args) == 1 {
				user = args[0]
			}
			path := l.Kubeconfig(user)
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("no user %q: the lab has admin, viewer and blind", user)
			}
			fmt.Println(path)
			return nil
		},
	}
}
