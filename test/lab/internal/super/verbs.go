package super

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/test/lab/internal/agent"
	"github.com/kubestickytop/stickytop/test/lab/internal/plane"
)

type verb func(*Supervisor, context.Context, url.Values) error

// verbs are what the supervisor does when asked.
var verbs = map[string]verb{
	"api-pause":   func(s *Supervisor, _ context.Context, _ url.Values) error { return s.plane.API.Signal(syscall.SIGSTOP) },
	"api-down":    func(s *Supervisor, _ context.Context, _ url.Values) error { return s.plane.API.Kill() },
	"api-resume":  func(s *Supervisor, ctx context.Context, _ url.Values) error { return s.resumeAPI(ctx) },
	"api-compact": func(s *Supervisor, ctx context.Context, _ url.Values) error { return s.compact(ctx) },
	"etcd-pause": func(s *Supervisor, _ context.Context, _ url.Values) error {
		return s.plane.Etcd.Signal(syscall.SIGSTOP)
	},
	"etcd-resume": func(s *Supervisor, _ context.Context, _ url.Values) error {
		return s.plane.Etcd.Signal(syscall.SIGCONT)
	},
	"pod-signal":   func(s *Supervisor, _ context.Context, q url.Values) error { return s.signalPod(q) },
	"token-expire": func(s *Supervisor, ctx context.Context, q url.Values) error { return s.expireToken(ctx, q.Get("user")) },
	"token-renew":  func(s *Supervisor, _ context.Context, q url.Values) error { return s.plane.RenewToken(q.Get("user")) },
	"net-drop":     func(s *Supervisor, _ context.Context, q url.Values) error { return s.drop(q) },
	"net-delay":    func(s *Supervisor, _ context.Context, q url.Values) error { return s.delay(q) },
	"net-heal":     func(s *Supervisor, _ context.Context, q url.Values) error { return s.heal(q.Get("a"), q.Get("b")) },
}

// resumeAPI ends a pause or a stop of the API server and returns when it is ready.
func (s *Supervisor) resumeAPI(ctx context.Context) error {
	if err := s.plane.API.Signal(syscall.SIGCONT); err != nil {
		if err := s.plane.API.Start(); err != nil {
			return err
		}
	}
	return s.plane.WaitAPI(ctx)
}

// compact restarts the API server on an etcd that forgot all history, so that a watch from an earlier resource
// version is answered 410 Gone. A few writes come first: a watch from the newest version would lose nothing.
func (s *Supervisor) compact(ctx context.Context) error {
	if err := s.churn(ctx); err != nil {
		return err
	}
	if err := s.plane.API.Kill(); err != nil {
		return err
	}
	var at struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	if err := s.etcd(ctx, "range", map[string]any{"key": "Lw=="}, &at); err != nil {
		return err
	}
	revision, err := strconv.ParseInt(at.Header.Revision, 10, 64)
	if err != nil {
		return fmt.Errorf("etcd's revision: %w", err)
	}
	if err := s.etcd(ctx, "compaction", map[string]any{"revision": revision, "physical": true}, nil); err != nil {
		return err
	}
	return s.resumeAPI(ctx)
}

func (s *Supervisor) churn(ctx context.Context) error {
	maps := s.plane.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	object := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "lab-churn"}}
	if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	for range 5 {
		object.Data = map[string]string{"at": time.Now().Format(time.RFC3339Nano)}
		if _, err := maps.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// etcd calls etcd's JSON gateway: method is range or compaction of /v3/kv.
func (s *Supervisor) etcd(ctx context.Context, method string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, plane.EtcdURL+"/v3/kv/"+method, bytes.NewReader(data))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd %s: %s: %s", method, response.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// signalPod sends a signal to every process of a pod: each container is a session of its own.
func (s *Supervisor) signalPod(q url.Values) error {
	number, err := strconv.Atoi(q.Get("signal"))
	if err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(agent.PodDir(s.spec, filepath.Base(q.Get("uid"))), "*.pid"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("the pod runs no process")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			return err
		}
		if err := syscall.Kill(-pid, syscall.Signal(number)); err != nil {
			return err
		}
	}
	return nil
}

// expireToken makes the user's tokens invalid and returns when the API server says so: it believes its own
// memory of a token for up to 10 seconds.
func (s *Supervisor) expireToken(ctx context.Context, user string) error {
	config, err := plane.UserConfig(s.spec, user)
	if err != nil {
		return err
	}
	s.plane.Tokens.Expire(user)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		unauthorized, err := plane.Unauthorized(ctx, config)
		if unauthorized {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server still takes %s's token (%v)", user, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
