package kube

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// jobServer is the part of an API server that agents meet: it keeps Jobs, and
// pods that somebody put there.
type jobServer struct {
	mu     sync.Mutex
	jobs   map[string]batchv1.Job
	pods   []corev1.Pod
	events []corev1.Event
	denied map[string]bool             // "create jobs"
	refuse map[string]http.HandlerFunc // "create pods", "create jobs NAME", …
	asked  []string
}

func newJobServer(t *testing.T) (*jobServer, *Agents) {
	t.Helper()
	s := &jobServer{jobs: map[string]batchv1.Job{}, denied: map[string]bool{}, refuse: map[string]http.HandlerFunc{}}
	srv := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(srv.Close)
	a, err := NewAgents(&rest.Config{Host: srv.URL}, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	// The typed clients ask for protobuf first; this server speaks JSON.
	return s, a
}

func (s *jobServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _ := parse(r.URL.Path)
	verb := map[string]string{http.MethodPost: "create", http.MethodGet: "list", http.MethodDelete: "delete"}[r.Method]
	if r.URL.Query().Get("dryRun") != "" {
		verb = "try"
	}
	s.asked = append(s.asked, strings.TrimSpace(verb+" "+c.resource+" "+c.name))
	w.Header().Set("Content-Type", contentJSON)
	write := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	if c.resource == "selfsubjectaccessreviews" {
		var review authorizationv1.SelfSubjectAccessReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		at := review.Spec.ResourceAttributes
		name := at.Verb + " " + at.Resource
		if at.Subresource != "" {
			name += "/" + at.Subresource
		}
		review.Status.Allowed = !s.denied[name]
		write(review)
		return
	}
	var job batchv1.Job
	key := verb + " " + c.resource
	if verb == "create" && c.resource == "jobs" {
		_ = json.NewDecoder(r.Body).Decode(&job)
		if h := s.refuse[key+" "+job.Name]; h != nil {
			h(w, r)
			return
		}
	}
	if h := s.refuse[key]; h != nil {
		h(w, r)
		return
	}
	switch key {
	case "create jobs":
		s.jobs[job.Name] = job
		write(job)
	case "try pods":
		write(corev1.Pod{TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}})
	case "list jobs":
		list := batchv1.JobList{TypeMeta: metav1.TypeMeta{Kind: "JobList", APIVersion: "batch/v1"}}
		for _, j := range s.jobs {
			if strings.Contains(r.URL.Query().Get("labelSelector"), j.Labels[labelRun]) {
				list.Items = append(list.Items, j)
			}
		}
		write(list)
	case "list pods":
		write(corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: s.pods})
	case "list events":
		write(corev1.EventList{TypeMeta: metav1.TypeMeta{Kind: "EventList", APIVersion: "v1"}, Items: s.events})
	case "delete jobs":
		delete(s.jobs, c.name)
		write(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess})
	default:
		refuse(404, metav1.StatusReasonNotFound, "no such path "+key)(w, r)
	}
}

func (s *jobServer) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for n := range s.jobs {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

var crewSpec = AgentSpec{Run: "abc", Namespace: "web", Image: "registry.example.com/stickytop:1", Digest: strings.Repeat("0", 64), Port: 20123,
	Silence: 30 * time.Second, Life: time.Hour, Clients: 2, Nodes: []string{"n1"}, NetAdmin: true, PullSecrets: []string{"pull"}, By: "alice"}

// TestAgentJobs checks what makes an agent harmless, field by field.
func TestAgentJobs(t *testing.T) {
	jobs := crewSpec.Jobs(time.Now())
	if len(jobs) != 3 {
		t.Fatalf("%d jobs, want 2 clients and a reader", len(jobs))
	}
	for _, j := range jobs {
		p, kernel := j.Spec.Template.Spec, j.Labels[labelRole] == "kernel"
		c := p.Containers[0]
		for what, holds := range map[string]bool{
			"never restarts":              p.RestartPolicy == corev1.RestartPolicyNever && *j.Spec.BackoffLimit == 0,
			"has a deadline":              *p.ActiveDeadlineSeconds > 3600 && *j.Spec.ActiveDeadlineSeconds == *p.ActiveDeadlineSeconds,
			"is removed after its end":    *j.Spec.TTLSecondsAfterFinished > 0,
			"has no service account":      !*p.AutomountServiceAccountToken,
			"cannot write":                *c.SecurityContext.ReadOnlyRootFilesystem,
			"cannot gain rights":          !*c.SecurityContext.AllowPrivilegeEscalation && !*c.SecurityContext.Privileged,
			"drops all":                   slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}),
			"has a seccomp profile":       p.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
			"has limits":                  !c.Resources.Limits.Memory().IsZero() && !c.Resources.Limits.Cpu().IsZero(),
			"is pulled with the secret":   p.ImagePullSecrets[0].Name == "pull",
			"opens no port":               len(c.Ports) == 0,
			"mounts nothing":              len(p.Volumes) == 0,
			"says whose it is":            j.Annotations[noteWho] == "alice" && j.Labels[labelRun] == "abc",
			"is not root as a client":     kernel || *p.SecurityContext.RunAsNonRoot && *p.SecurityContext.RunAsUser != 0,
			"shares a node's network":     p.HostNetwork == kernel && !p.HostPID && !p.HostIPC,
			"is on its node":              !kernel || p.NodeName == "n1",
			"has NET_ADMIN as a reader":   kernel == slices.Equal(c.SecurityContext.Capabilities.Add, []corev1.Capability{"NET_ADMIN"}),
			"is told a digest, no secret": strings.Contains(strings.Join(c.Args, " "), "--digest "+crewSpec.Digest) && len(c.EnvFrom) == 0,
		} {
			if !holds {
				t.Errorf("%s: not so: %s", j.Name, what)
			}
		}
	}
	iptables := crewSpec
	iptables.NetAdmin = false
	for _, j := range iptables.Jobs(time.Now()) {
		if c := j.Spec.Template.Spec.Containers[0]; len(c.SecurityContext.Capabilities.Add) > 0 || !*j.Spec.Template.Spec.SecurityContext.RunAsNonRoot {
			t.Errorf("%s has more rights than xt_recent takes", j.Name)
		}
	}
	cilium := crewSpec
	cilium.Plane.Mode = affinity.ModeCilium
	for i, j := range cilium.Jobs(time.Now()) {
		p := j.Spec.Template.Spec
		kernel := j.Labels[labelRole] == "kernel"
		if maps := len(p.Volumes) == 1 && p.Volumes[0].HostPath.Path == "/sys/fs/bpf" && p.Containers[0].VolumeMounts[0].ReadOnly &&
			slices.Equal(p.Containers[0].SecurityContext.Capabilities.Add, []corev1.Capability{"BPF", "NET_ADMIN"}); maps != kernel || !kernel && len(p.Volumes) > 0 {
			t.Errorf("job %d, %s: reads Cilium's maps: %v", i, j.Name, maps)
		}
	}
	text, err := AgentYAML(jobs)
	if err != nil {
		t.Fatal(err)
	}
	docs := strings.Split(text, "---\n")
	var back batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(docs[2]), &back); err != nil || len(docs) != 3 || back.Name != "stickytop-abc-k1" || strings.Contains(text, "status") {
		t.Errorf("%v, %d documents: %s", err, len(docs), text)
	}
}

func TestAgentsUp(t *testing.T) {
	ctx := context.Background()
	jobs := crewSpec.Jobs(time.Now())
	security := refuse(403, metav1.StatusReasonForbidden, `pods "stickytop-abc-k1-" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`)
	quota := refuse(403, metav1.StatusReasonForbidden, `jobs.batch "stickytop-abc-c2" is forbidden: exceeded quota: small, requested: count/jobs.batch=1, used: 1, limited: 1`)
	tests := []struct {
		name       string
		change     func(*jobServer)
		what, hint string
		left       int
	}{
		{"all well", func(*jobServer) {}, "", "", 3},
		{"no right to make", func(s *jobServer) { s.denied["create jobs"] = true }, `you may not, in namespace "web": create jobs.batch`, "--dry-run -o yaml", 0},
		{"no right to use", func(s *jobServer) { s.denied["create pods/portforward"] = true }, "create pods/portforward", "--dry-run -o yaml", 0},
		{"pod security", func(s *jobServer) { s.refuse["try pods"] = security }, "violates PodSecurity", "enforce: privileged", 0},
		{"no right to try", func(s *jobServer) { s.denied["create pods"], s.refuse["try pods"] = true, security }, "", "", 3},
		{"a quota, halfway", func(s *jobServer) { s.refuse["create jobs stickytop-abc-c2"] = quota }, "exceeded quota: small", "fewer --agents", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, a := newJobServer(t)
			tt.change(s)
			err := a.Up(ctx, jobs, func(text string) { t.Error(text) })
			var p *Problem
			switch {
			case tt.what == "" && err != nil:
				t.Error(err)
			case tt.what != "" && !errors.As(err, &p):
				t.Errorf("%v, want a problem", err)
			case tt.what != "" && (!strings.Contains(p.What, tt.what) || !strings.Contains(p.Hint, tt.hint)):
				t.Errorf("%q, hint %q; want %q, %q", p.What, p.Hint, tt.what, tt.hint)
			}
			if got := s.names(); len(got) != tt.left {
				t.Errorf("%v are there, want %d", got, tt.left)
			}
		})
	}
	s, a := newJobServer(t)
	if err := a.Up(ctx, jobs, func(text string) { t.Error(text) }); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Down(ctx, "web", "abc"); n != 3 || err != nil || len(s.names()) != 0 {
		t.Errorf("removed %d, %v; left %v", n, err, s.names())
	}
}

// TestAgentsUpGivenUp: of Jobs that were on their way when the user gave up, or
// that a server stored and did not confirm, none is left.
func TestAgentsUpGivenUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		stored func(s *jobServer, cancel func(), w http.ResponseWriter, r *http.Request)
		remove http.HandlerFunc
		left   int
		told   string
	}{
		{"interrupted", func(_ *jobServer, cancel func(), w http.ResponseWriter, _ *http.Request) {
			cancel()
			w.WriteHeader(201)
		}, nil, 0, ""},
		{"not confirmed", func(_ *jobServer, _ func(), w http.ResponseWriter, r *http.Request) {
			refuse(500, metav1.StatusReasonInternalError, "etcd is slow")(w, r)
		}, nil, 0, ""},
		{"not to be removed", func(_ *jobServer, _ func(), w http.ResponseWriter, r *http.Request) {
			refuse(500, metav1.StatusReasonInternalError, "etcd is slow")(w, r)
		}, refuse(403, metav1.StatusReasonForbidden, "no more"), 2, "remove job web/stickytop-abc-c2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s, a := newJobServer(t)
			jobs := crewSpec.Jobs(time.Now())
			second := jobs[1]
			s.refuse["create jobs "+second.Name] = func(w http.ResponseWriter, r *http.Request) {
				c.stored(s, cancel, w, r)
				_ = json.NewEncoder(w).Encode(second)
				s.jobs[second.Name] = *second // though nobody may be waiting any more
			}
			if c.remove != nil {
				s.refuse["delete jobs"] = c.remove
			}
			var told []string
			if err := a.Up(ctx, jobs, func(text string) { told = append(told, text) }); err == nil || ctx.Err() != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want a refusal, or that it was given up", err)
			}
			if got := s.names(); len(got) != c.left || slices.Contains(got, jobs[2].Name) {
				t.Errorf("%v are there, want %d", got, c.left)
			}
			if text := strings.Join(told, "\n"); !strings.Contains(text, c.told) || c.told == "" && text != "" {
				t.Errorf("told %q, want %q", text, c.told)
			}
		})
	}
}

func TestAgentsWait(t *testing.T) {
	pod := func(change func(*corev1.Pod)) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "stickytop-abc-c1-x", Namespace: "web", Labels: map[string]string{labelRun: "abc", labelRole: "client"},
			Annotations: map[string]string{notePort: "20123", noteWho: "al\x1b[31mice", noteEnds: "2026-01-02T03:04:05Z"}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.9", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
		change(&p)
		return p
	}
	waiting := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "of registry.example.com"}}}}}
		}
	}
	tests := []struct {
		name       string
		pods       []corev1.Pod
		events     []corev1.Event
		what, hint string
	}{
		{"ready", []corev1.Pod{pod(func(*corev1.Pod) {})}, nil, "", ""},
		{"no image", []corev1.Pod{pod(waiting("ImagePullBackOff"))}, nil, "does not start: ImagePullBackOff: of registry", "--image"},
		{"ended", []corev1.Pod{pod(func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}}}}}
		})}, nil, "ended with code 3", ""},
		{"no room", []corev1.Pod{pod(func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available"}}}
		})}, nil, "0 of 1 agents are ready", ""},
		{"evicted", []corev1.Pod{pod(func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: memory."}
		})}, nil, "does not start: ended: Evicted: The node was low on resource: memory", ""},
		{"no pod at all", nil, []corev1.Event{{InvolvedObject: corev1.ObjectReference{Kind: "Job", Name: "stickytop-abc-c1"},
			Message: `Error creating: pods "stickytop-abc-c1-" is forbidden: exceeded quota: small`}}, "exceeded quota: small", "fewer --agents"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, a := newJobServer(t)
			s.pods, s.events = tt.pods, tt.events
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			got, err := a.Wait(ctx, "web", "abc", 1, func(string) {})
			var p *Problem
			switch {
			case tt.what == "":
				if err != nil || len(got) != 1 || got[0].Port != 20123 || got[0].IP != "10.0.0.9" || strings.ContainsRune(got[0].By, '\x1b') || got[0].Ends.Year() != 2026 {
					t.Errorf("%+v, %v", got, err)
				}
			case !errors.As(err, &p) || !strings.Contains(p.What, tt.what) || !strings.Contains(p.Hint, tt.hint):
				t.Errorf("%v, want %q with %q", err, tt.what, tt.hint)
			}
		})
	}
}

// TestAgentsWaitTells: what keeps an agent waiting is said once and at once, and
// an image that cannot be pulled ends the wait long before its time.
func TestAgentsWaitTells(t *testing.T) {
	s, a := newJobServer(t)
	s.pods = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "stickytop-abc-c1-x", Namespace: "web", Labels: map[string]string{labelRun: "abc", labelRole: "client"}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "not found: registry.example.com/x"}}}}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	began, first := time.Now(), time.Duration(0)
	var said []string
	_, err := a.Wait(ctx, "web", "abc", 1, func(text string) {
		if said = append(said, text); first == 0 {
			first = time.Since(began)
		}
	})
	var p *Problem
	if !errors.As(err, &p) || !strings.Contains(p.What, "ErrImagePull: not found") || !strings.Contains(p.Hint, "--image") {
		t.Errorf("%v, want what the kubelet says, and what names another image", err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "ErrImagePull: not found") || first > 5*time.Second {
		t.Errorf("said %q, first after %s; want it once and at once", said, first)
	}
	if took := time.Since(began); took < imagePatience || took > imagePatience+20*time.Second {
		t.Errorf("gave up after %s, want about %s", took, imagePatience)
	}
}

// TestAgentsWaitUnsaid: a pod that no scheduler takes is told of within seconds,
// though nothing says why.
func TestAgentsWaitUnsaid(t *testing.T) {
	t.Parallel()
	s, a := newJobServer(t)
	s.pods = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "stickytop-abc-c1-x", Namespace: "web", Labels: map[string]string{labelRun: "abc"}}, Status: corev1.PodStatus{Phase: corev1.PodPending}}}
	ctx, cancel := context.WithTimeout(t.Context(), quietWait+2*time.Second)
	defer cancel()
	var said []string
	_, err := a.Wait(ctx, "web", "abc", 1, func(text string) { said = append(said, text) })
	if len(said) != 1 || !strings.Contains(said[0], "no node has taken it") || err == nil || !strings.Contains(err.Error(), "no node has taken it") {
		t.Errorf("said %q, then %v", said, err)
	}
}

// TestAgentsWithoutPods: agents whose pods are not made, or not made again, are
// told of within seconds, and waited for no longer than may help.
func TestAgentsWithoutPods(t *testing.T) {
	condition := func(of batchv1.JobConditionType) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: of, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded", Message: "Job has reached the specified backoff limit"}}
		}
	}
	tests := []struct {
		name, event string
		jobs        int
		change      func(*batchv1.Job)
		what        string
		most        time.Duration
	}{
		{"a quota", `Error creating: pods "stickytop-abc-c1-" is forbidden: exceeded quota: small`, 1, nil, "1 of 1 agents have no pod: exceeded quota: small", imagePatience + 5*time.Second},
		{"its job deleted", "", 0, nil, "their Jobs were deleted", 5 * time.Second},
		{"its pod deleted", "", 1, condition(batchv1.JobFailed), "the pod of job stickytop-abc-c1 is gone: BackoffLimitExceeded", 5 * time.Second},
		{"its pod deleted, and ended well", "", 1, condition(batchv1.JobComplete), "the pod of job stickytop-abc-c1 is gone", 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, a := newJobServer(t)
			for range tt.jobs {
				j := batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "stickytop-abc-c1", Namespace: "web", Labels: map[string]string{labelRun: "abc"}}}
				if tt.change != nil {
					tt.change(&j)
				}
				s.jobs[j.Name] = j
			}
			if tt.event != "" {
				s.events = []corev1.Event{{InvolvedObject: corev1.ObjectReference{Kind: "Job", Name: "stickytop-abc-c1"}, Message: tt.event}}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			began, first := time.Now(), time.Duration(0)
			_, err := a.Wait(ctx, "web", "abc", 1, func(string) {
				if first == 0 {
					first = time.Since(began)
				}
			})
			var p *Problem
			if !errors.As(err, &p) || !strings.Contains(p.What, tt.what) {
				t.Errorf("%v, want %q", err, tt.what)
			}
			if took := time.Since(began); took > tt.most || tt.event != "" && first == 0 || first > 5*time.Second {
				t.Errorf("gave up after %s, told first after %s", took, first)
			}
		})
	}
}

// TestAgentFate: what became of an agent that does not answer.
func TestAgentFate(t *testing.T) {
	s, a := newJobServer(t)
	now := metav1.Now()
	for want, change := range map[string]func(*corev1.Pod){
		"":                         func(*corev1.Pod) {},
		"its pod was deleted":      func(p *corev1.Pod) { p.Name = "another" },
		"its pod is being deleted": func(p *corev1.Pod) { p.DeletionTimestamp = &now },
		"ended: Evicted: The node had disk pressure": func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node had disk pressure"}
		},
		"it has ended": func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded },
	} {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "web", Labels: map[string]string{labelRun: "abc"}}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		change(&p)
		s.pods = []corev1.Pod{p}
		if got := a.Fate(t.Context(), AgentPod{Name: "x", Namespace: "web", Run: "abc"}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestDataplaneIsAskedOnlyWhenNeeded: without a Service that pins by address
// nothing is read.
func TestDataplaneIsAskedOnlyWhenNeeded(t *testing.T) {
	s, _ := newJobServer(t)
	s.refuse["list daemonsets"] = forbid("daemonsets")
	s.refuse["list configmaps"] = forbid("configmaps")
	srv := httptest.NewServer(http.HandlerFunc(s.serve))
	defer srv.Close()
	var st affinity.State
	var mu sync.Mutex
	now := time.Now()
	st.Apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: resServices, State: affinity.SourceLive}}, now)
	d, err := NewDataplane(&rest.Config{Host: srv.URL}, "test", func() *affinity.Snapshot {
		mu.Lock()
		defer mu.Unlock()
		return st.Snapshot(now)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var states []string
	err = d.Run(ctx, func(e affinity.Event) {
		c, ok := e.(affinity.SourceChanged)
		if !ok {
			return
		}
		states = append(states, c.Status.State.String())
		switch c.Status.State {
		case affinity.SourceOff:
			s.mu.Lock()
			if len(s.asked) > 0 {
				t.Errorf("asked for %v", s.asked)
			}
			s.mu.Unlock()
			mu.Lock()
			st.Apply(affinity.ServiceChanged{Service: affinity.Service{Policy: affinity.Policy{Mechanism: affinity.MechanismClientIP}}}, now)
			mu.Unlock()
		case affinity.SourceAbsent:
			if !strings.Contains(c.Status.Detail, "may not be read: DaemonSets") {
				t.Errorf("detail %q", c.Status.Detail)
			}
			cancel()
		}
	})
	if want := []string{"syncing", "off", "absent"}; err != nil || !slices.Equal(states, want) {
		t.Errorf("states %v, %v; want %v", states, err, want)
	}
}
