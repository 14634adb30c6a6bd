package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/kubestickytop/stickytop/test/lab/internal/build"
)

// Missing is why a machine cannot run a lab: each tool, right or kernel feature that it lacks.
type Missing []string

func (m *Missing) Error() string { return "the lab cannot run here: " + strings.Join(*m, "; ") }

// Check returns a *Missing error when this machine cannot run the lab of that spec, and nil when it can.
func Check(ctx context.Context, spec Spec, program string) error {
	var missing Missing
	for _, need := range [][2]string{
		{"ip", "package iproute2"}, {"nft", "package nftables"}, {"nsenter", "package util-linux"},
		{"node", "Node.js, for the Socket.IO backends"},
	} {
		if _, err := exec.LookPath(need[0]); err != nil {
			missing = append(missing, fmt.Sprintf("no %s in PATH (%s)", need[0], need[1]))
		}
	}
	if _, err := exec.LookPath("iptables"); err != nil && spec.Proxy == "iptables" {
		missing = append(missing, "no iptables in PATH (package iptables)")
	}
	if _, err := exec.LookPath("haproxy"); err != nil && spec.Ingress == "haproxy" {
		missing = append(missing, "no haproxy in PATH (package haproxy)")
	}
	if unbuilt := build.Missing(spec.Cache); len(unbuilt) > 0 {
		missing = append(missing, fmt.Sprintf("not built yet: %s (run `lab build`)", strings.Join(unbuilt, ", ")))
	}
	if len(missing) == 0 {
		missing = append(missing, probe(ctx, spec, program)...)
	}
	if len(missing) > 0 {
		return &missing
	}
	return nil
}

// probe tries, in namespaces like the lab's that end at once, what the lab will do to the kernel.
func probe(ctx context.Context, spec Spec, program string) []string {
	cmd := exec.CommandContext(ctx, program, "_probe", spec.Proxy)
	cmd.SysProcAttr = unshare(spec.Rootless)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	if spec.Rootless {
		return []string{fmt.Sprintf("this user is not root, and the kernel refuses an unprivileged user namespace: %v "+
			"(see kernel.unprivileged_userns_clone, user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)", err)}
	}
	return []string{fmt.Sprintf("the kernel refuses new namespaces to root: %v (in a container: it needs CAP_SYS_ADMIN)", err)}
}
