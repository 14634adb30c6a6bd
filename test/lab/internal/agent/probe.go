package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// UnreadyFile, in a pod's folder, makes the pod's readiness probes fail: the lab's readiness fault.
const UnreadyFile = "unready"

// probe starts the probes of a run; they end with ctx. Liveness and readiness wait for a startup probe's success.
func (c *container) probe(ctx context.Context) {
	started := make(chan struct{})
	if p := c.spec.StartupProbe; p != nil {
		go c.repeat(ctx, p, "Startup", func(ok bool, why string) {
			if !ok {
				c.wantRestart("failed startup probe: " + why)
			} else if !closed(started) {
				close(started)
				c.set(func() { c.started, c.ready = true, c.spec.ReadinessProbe == nil })
			}
		})
	} else {
		close(started)
	}
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-started:
		}
		if p := c.spec.ReadinessProbe; p != nil {
			go c.repeat(ctx, p, "Readiness", func(ok bool, _ string) { c.set(func() { c.ready = ok }) })
		}
		if p := c.spec.LivenessProbe; p != nil {
			c.repeat(ctx, p, "Liveness", func(ok bool, why string) {
				if !ok {
					c.wantRestart("failed liveness probe: " + why)
				}
			})
		}
	}()
}

func (c *container) wantRestart(why string) {
	select {
	case c.restart <- why:
	default:
	}
}

// repeat probes at the probe's period and reports each time a threshold is reached.
func (c *container) repeat(ctx context.Context, p *v1.Probe, kind string, report func(ok bool, why string)) {
	period := time.Duration(max(1, p.PeriodSeconds)) * time.Second
	wait := time.Duration(p.InitialDelaySeconds) * time.Second
	successes, failures := int32(0), int32(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = period
		err := c.once(ctx, p, kind)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			successes, failures = successes+1, 0
			if successes == max(1, p.SuccessThreshold) {
				report(true, "")
			}
			continue
		}
		successes, failures = 0, failures+1
		c.w.event(v1.EventTypeWarning, "Unhealthy", "%s probe failed: %v", kind, err)
		if failures == max(1, p.FailureThreshold) {
			report(false, err.Error())
		}
	}
}

func (c *container) once(ctx context.Context, p *v1.Probe, kind string) error {
	timeout := time.Duration(max(1, p.TimeoutSeconds)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if kind == "Readiness" {
		if _, err := os.Stat(filepath.Join(PodDir(c.w.agent.spec, string(c.w.uid)), UnreadyFile)); err == nil {
			return errors.New("made to fail by the lab")
		}
	}
	switch {
	case p.HTTPGet != nil:
		return c.httpGet(ctx, p.HTTPGet, "kube-probe/1.37")
	case p.TCPSocket != nil:
		port, err := c.port(p.TCPSocket.Port)
		if err != nil {
			return err
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(c.host(p.TCPSocket.Host), port))
		if err != nil {
			return err
		}
		return conn.Close()
	case p.Exec != nil:
		return c.w.exec(ctx, c, p.Exec.Command, nil, io.Discard, io.Discard)
	}
	return errors.New("the lab's agent probes by httpGet, tcpSocket and exec only")
}

// httpGet succeeds on a status from 200 to 399, as the kubelet has it, on a connection of its own.
func (c *container) httpGet(ctx context.Context, get *v1.HTTPGetAction, agent string) error {
	port, err := c.port(get.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if get.Scheme != "" {
		scheme = strings.ToLower(string(get.Scheme))
	}
	path, err := url.Parse(get.Path)
	if err != nil {
		return err
	}
	target := url.URL{Scheme: scheme, Host: net.JoinHostPort(c.host(get.Host), port), Path: path.Path, RawQuery: path.RawQuery}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", agent)
	request.Header.Set("Accept", "*/*")
	for _, h := range get.HTTPHeaders {
		request.Header.Add(h.Name, h.Value)
		if strings.EqualFold(h.Name, "Host") {
			request.Host = h.Value
		}
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, Proxy: nil, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 10<<10))
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", response.StatusCode)
	}
	return nil
}

func (c *container) host(host string) string {
	if host != "" {
		return host
	}
	return c.w.box.ip.String()
}

// port resolves a port that may be a name.
func (c *container) port(p intstr.IntOrString) (string, error) {
	if p.Type == intstr.Int {
		return strconv.Itoa(p.IntValue()), nil
	}
	for _, declared := range c.spec.Ports {
		if declared.Name == p.StrVal {
			return strconv.Itoa(int(declared.ContainerPort)), nil
		}
	}
	return "", fmt.Errorf("no container port named %q", p.StrVal)
}

// preStop runs a container's preStop hook; it never takes longer than the grace period.
func (c *container) preStop(ctx context.Context, hook *v1.LifecycleHandler, inst *instance) {
	done := make(chan error, 1)
	go func() {
		switch {
		case hook.Sleep != nil:
			select {
			case <-time.After(time.Duration(hook.Sleep.Seconds) * time.Second):
			case <-ctx.Done():
			}
			done <- nil
		case hook.Exec != nil:
			done <- c.w.exec(ctx, c, hook.Exec.Command, nil, io.Discard, io.Discard)
		case hook.HTTPGet != nil:
			done <- c.httpGet(ctx, hook.HTTPGet, "kube-lifecycle/1.37")
		default:
			done <- errors.New("no handler")
		}
	}()
	select {
	case err := <-done:
		if err != nil {
			c.w.event(v1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: %v", err)
		}
	case <-ctx.Done():
	case <-c.w.sooner():
	case <-inst.exited:
	}
}
