package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestickytop/stickytop/test/lab"
)

// onLab makes a command of something that is done to the running lab.
func onLab(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, l *lab.Lab, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Attach(name)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
			defer cancel()
			return because(ctx, l, do(ctx, l, args))
		},
	}
}

// because adds to an error which of the lab's own faults it comes from.
func because(ctx context.Context, l *lab.Lab, err error) error {
	if err == nil {
		return nil
	}
	s, statusErr := l.Status(ctx)
	if statusErr != nil {
		return err
	}
	for _, p := range s.Processes {
		if verb := map[string]string{"etcd": "etcd", "kube-apiserver": "api"}[p.Name]; verb != "" && !strings.HasPrefix(p.State, "running") {
			return fmt.Errorf("%w (%s is %s: lab %s resume)", err, p.Name, p.State, verb)
		}
	}
	return err
}

func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	cmd.AddCommand(commands...)
	cmd.RunE = func(_ *cobra.Command, args []string) error { // without it cobra prints help, and a script believes that the fault was made
		var verbs []string
		for _, c := range commands {
			verbs = append(verbs, c.Name())
		}
		if len(args) == 0 {
			return fmt.Errorf("%s: which of %s?", use, strings.Join(verbs, ", "))
		}
		return fmt.Errorf("%s has no %q, only %s", use, args[0], strings.Join(verbs, ", "))
	}
	return cmd
}

func podFaults() []*cobra.Command {
	one := cobra.ExactArgs(1)
	return []*cobra.Command{
		onLab("kill POD", "Delete a pod, with its grace period", one,
			func(ctx context.Context, l *lab.Lab, a []string) error { return l.DeletePod(ctx, a[0]) }),
		onLab("crash POD", "Kill a pod's processes; its containers restart", one,
			func(ctx context.Context, l *lab.Lab, a []string) error { return l.Crash(ctx, a[0]) }),
		onLab("scale NAME REPLICAS", "Scale a Deployment or StatefulSet and wait until it is done", cobra.ExactArgs(2),
			func(ctx context.Context, l *lab.Lab, a []string) error {
				n, err := strconv.Atoi(a[1])
				if err != nil || n < 0 {
					return fmt.Errorf("replicas %q: want a number", a[1])
				}
				if err := l.Scale(ctx, a[0], n); err != nil {
					return err
				}
				return l.WaitFor(ctx, a[0])
			}),
		onLab("rollout DEPLOYMENT", "Replace a Deployment's pods by a rolling update and wait until it is done", one,
			func(ctx context.Context, l *lab.Lab, a []string) error {
				if err := l.Rollout(ctx, a[0]); err != nil {
					return err
				}
				return l.WaitFor(ctx, a[0])
			}),
		onLab("unready POD", "Make a pod's readiness probes fail", one,
			func(_ context.Context, l *lab.Lab, a []string) error { return l.FailReadiness(a[0]) }),
		onLab("ready POD", "End unready", one,
			func(_ context.Context, l *lab.Lab, a []string) error { return l.RestoreReadiness(a[0]) }),
		onLab("freeze POD", "Stop a pod's processes with SIGSTOP", one,
			func(ctx context.Context, l *lab.Lab, a []string) error { return l.Freeze(ctx, a[0]) }),
		onLab("thaw POD", "End freeze", one,
			func(ctx context.Context, l *lab.Lab, a []string) error { return l.Thaw(ctx, a[0]) }),
	}
}

// simple is a verb without arguments.
func simple(use, short string, do func(*lab.Lab, context.Context) error) *cobra.Command {
	return onLab(use, short, cobra.NoArgs, func(ctx context.Context, l *lab.Lab, _ []string) error { return do(l, ctx) })
}

func clusterFaults() []*cobra.Command {
	return []*cobra.Command{
		group("api", "Disturb the API server",
			simple("pause", "SIGSTOP: requests hang", (*lab.Lab).PauseAPIServer),
			simple("down", "Kill it: connections are refused", (*lab.Lab).StopAPIServer),
			simple("resume", "End pause or down, and wait until it is ready", (*lab.Lab).ResumeAPIServer),
			simple("restart-compacted", "Restart it without history: old watches get 410 Gone", (*lab.Lab).CompactHistory)),
		group("etcd", "Disturb etcd",
			simple("pause", "SIGSTOP: the API server cannot read or write", (*lab.Lab).PauseEtcd),
			simple("resume", "End pause", (*lab.Lab).ResumeEtcd)),
		group("ingress", "Stop and start the ingress controller",
			simple("stop", "Scale it to nothing", (*lab.Lab).StopIngress),
			simple("start", "Scale it to one, and wait until it is ready", (*lab.Lab).StartIngress)),
		group("token", "Users' tokens",
			onLab("expire USER", "Make a user's token invalid, and wait until the API server says 401 (about 10 s)", cobra.ExactArgs(1),
				func(ctx context.Context, l *lab.Lab, a []string) error { return l.ExpireToken(ctx, a[0]) }),
			onLab("renew USER", "Write a new token into a user's kubeconfig", cobra.ExactArgs(1),
				func(ctx context.Context, l *lab.Lab, a []string) error { return l.RenewToken(ctx, a[0]) })),
		group("net", "Disturb the network between two of client, control, node1, ..., pod/NAME", netFaults()...),
	}
}

func netFaults() []*cobra.Command {
	return []*cobra.Command{
		onLab("drop A B [PERCENT]", "Lose packets between two places, each way; all of them, or a share", cobra.RangeArgs(2, 3),
			func(ctx context.Context, l *lab.Lab, a []string) error {
				percent := 100
				if len(a) == 3 {
					var err error
					if percent, err = strconv.Atoi(a[2]); err != nil {
						return fmt.Errorf("percent: %w", err)
					}
				}
				return l.Drop(ctx, a[0], a[1], percent)
			}),
		onLab("delay A B DURATION", "Make packets between two places late, each way", cobra.ExactArgs(3),
			func(ctx context.Context, l *lab.Lab, a []string) error {
				late, err := time.ParseDuration(a[2])
				if err != nil {
					return err
				}
				return l.Delay(ctx, a[0], a[1], late)
			}),
		onLab("heal [A B]", "End the fault between two places, or all", cobra.MatchAll(cobra.MaximumNArgs(2), evenArgs),
			func(ctx context.Context, l *lab.Lab, a []string) error {
				if len(a) == 0 {
					return l.Heal(ctx, "", "")
				}
				return l.Heal(ctx, a[0], a[1])
			}),
	}
}

func evenArgs(_ *cobra.Command, args []string) error {
	if len(args) == 1 {
		return fmt.Errorf("heal takes two places or none")
	}
	return nil
}
