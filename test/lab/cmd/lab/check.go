package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/kubestickytop/stickytop/test/lab"
)

// kinds are the labs whose needs differ, and the flags that start them.
var kinds = []struct {
	flags   string
	options lab.Options
}{
	{"", lab.Options{}},
	{" --proxy iptables", lab.Options{Proxy: "iptables"}},
	{" --ingress haproxy", lab.Options{Ingress: "haproxy"}},
}

// lookers are what people and tests look into a lab with.
var lookers = []string{"kubectl", "curl", "tmux"}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say what this machine lacks to run a lab, and to test in it; nothing is built or started",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			lacking, err := lackedBy(cmd.Context(), self)
			if err != nil {
				return err
			}
			for _, tool := range lookers {
				if _, err := exec.LookPath(tool); err != nil {
					lacking++
					fmt.Printf("no %s in PATH: what needs it is skipped by the tests\n", tool)
				}
			}
			if lacking > 0 {
				return errors.New("end-to-end tests that need what is missing are skipped")
			}
			fmt.Println("Every lab can run here.")
			return nil
		},
	}
}

// lackedBy prints which labs cannot run, and why, and returns how many.
func lackedBy(ctx context.Context, program string) (int, error) {
	lacking, first := 0, ""
	for _, kind := range kinds {
		kind.options.Program = program
		err := kind.options.Check(ctx)
		if err == nil || err.Error() == first {
			continue
		}
		if !errors.As(err, new(*lab.Missing)) {
			return lacking, err
		}
		if lacking++; first == "" {
			first = err.Error()
		}
		fmt.Printf("lab up%s: %v\n", kind.flags, err)
	}
	return lacking, nil
}
