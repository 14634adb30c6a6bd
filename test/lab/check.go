package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/test/lab/internal/build"
)

// Missing is why a machine cannot run a lab: each tool, right or kernel feature that it lacks.
type Missing []string

func (m *Missing) Error() string { return "the lab cannot run here: " + strings.Join(*m, "; ") }

// Check returns a *Missing error when this machine cannot run a lab of these options, and nil when it can.
func (o Options) Check(ctx context.Context) error {
	spec, program, err := o.resolve(ctx)
	if err != nil {
		return err
	}
	return check(ctx, spec, program)
}

func check(ctx context.Context, spec Spec, program string) error {
	var missing Missing
	for _, need := range [][2]string{
		{"ip", "package iproute2"}, {"nft", "package nftables"}, {"nsenter", "package util-linux"},
		{"node", "Node.js, for the Socket.IO backends"},
	} {
		if _, err := exec.LookPath(need[0]); err != nil {
			missing = append(missing, fmt.Sprintf("no %s in PATH (%s)", need[0], need[1]))
		}
	}
	if _, err := exec.LookPath("iptables"); err != nil && strings.Contains(spec.Proxy, "iptables") {
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
	switch {
	case errors.As(err, &exit):
		missing := strings.Split(strings.TrimSpace(out.String()), "\n")
		if spec.Rootless && setting("kernel/apparmor_restrict_unprivileged_userns") == "1" {
			missing = append(missing, "kernel.apparmor_restrict_unprivileged_userns is 1, which gives no rights in a user namespace: be root, or set it to 0")
		}
		return missing
	case spec.Rootless:
		return []string{fmt.Sprintf("this user is not root with its rights (%s), and the kernel refuses an unprivileged user namespace: %s", needed, refusal(err))}
	}
	return []string{fmt.Sprintf("the kernel refuses new namespaces to root: %s", refusal(err))}
}

// needed are the rights that a lab takes; in a user namespace of its own everybody has them.
const needed = "CAP_SYS_ADMIN, CAP_NET_ADMIN"

// privileged reports whether this process has those rights: root in a container may be without (capabilities(7)).
func privileged() bool {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return os.Geteuid() == 0
	}
	_, rest, _ := strings.Cut(string(data), "CapEff:")
	word, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	effective, err := strconv.ParseUint(word, 16, 64)
	const both = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
	return err == nil && effective&both == both
}

// refusal says why the kernel did not make namespaces, as far as its settings tell.
func refusal(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		var limits []string
		for _, kind := range []string{"user", "pid", "mnt", "net", "uts", "ipc"} {
			if n := setting("user/max_" + kind + "_namespaces"); len(n) < 7 { // the kernel's own limits are far away
				limits = append(limits, "user.max_"+kind+"_namespaces="+n)
			}
		}
		return fmt.Sprintf("%v: a limit is reached, here or in a namespace around (%s)", err, strings.Join(limits, " "))
	case setting("kernel/unprivileged_userns_clone") == "0":
		return fmt.Sprintf("%v: kernel.unprivileged_userns_clone is 0", err)
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return fmt.Sprintf("%v: kernel.apparmor_restrict_unprivileged_userns is 1", err)
	}
	return fmt.Sprintf("%v: in a container, its seccomp profile or the rights it leaves forbid that; otherwise a security module", err)
}

// setting reads a sysctl; one that this kernel has not is empty.
func setting(name string) string {
	data, _ := os.ReadFile("/proc/sys/" + name)
	return strings.TrimSpace(string(data))
}
