// Package control is what a lab and those who use it say to each other, over HTTP on a Unix socket in its folder.
package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// Status describes a lab.
type Status struct {
	Spec      layout.Spec `json:"spec"`
	Phase     string      `json:"phase"`
	Ready     bool        `json:"ready"`
	Error     string      `json:"error,omitempty"`
	Processes []Process   `json:"processes,omitempty"`
	Faults    []string    `json:"faults,omitempty"` // network faults in force
}

// Process is one of the lab's own programs.
type Process struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Log   string `json:"log"`
}

// Client speaks to a lab.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client for the control socket at that path. Nothing is connected yet.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.connect(ctx)
		},
	}
	return c
}

func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.socket)
}

// Status asks how the lab is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	body, err := c.do(ctx, http.MethodGet, "/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// Do has the lab do a verb, and waits for its end. Arguments are key and value in turns.
func (c *Client) Do(ctx context.Context, verb string, args ...string) error {
	query := url.Values{}
	for i := 0; i+1 < len(args); i += 2 {
		query.Set(args[i], args[i+1])
	}
	_, err := c.do(ctx, http.MethodPost, "/do/"+verb+"?"+query.Encode())
	return err
}

func (c *Client) do(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	return body, nil
}

// Dial connects to an IP address and port from inside one of the lab's network namespaces, from a source address
// of that namespace or, with none, as the kernel has it.
func (c *Client) Dial(ctx context.Context, ns, source, address string) (net.Conn, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	query := url.Values{"ns": {ns}, "source": {source}, "address": {address}}
	if _, err := fmt.Fprintf(conn, "POST /dial?%s HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\n\r\n", query.Encode()); err != nil {
		conn.Close()
		return nil, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		conn.Close()
		return nil, fmt.Errorf("dial %s from %s: %s", address, ns, bytes.TrimSpace(text))
	}
	return Buffered(conn, reader), nil
}
