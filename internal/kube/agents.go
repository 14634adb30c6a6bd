package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Agents makes, lists and removes agents' Jobs: the only objects that
// stickytop ever writes, and only when it was asked to.
type Agents struct {
	config  *rest.Config
	clients *clients
	batch   group
	version string
}

// NewAgents prepares the clients. It does not talk to the API server.
func NewAgents(cfg *rest.Config, version string) (*Agents, error) {
	c, err := newClients(cfg, version)
	if err != nil {
		return nil, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	own, _ := prepare(cfg, version)
	client, err := rest.HTTPClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	b, err := newGroup(own, client, batchv1.SchemeGroupVersion)
	if err != nil {
		return nil, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	return &Agents{config: cfg, clients: c, batch: b, version: version}, nil
}

// Close drops the connections.
func (a *Agents) Close() { a.clients.dialer.CloseAll() }

// Server is the address of the API server, to be read.
func (a *Agents) Server() string { return hostOf(a.clients.host) }

// Whoami returns the user's name, or "".
func (a *Agents) Whoami(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, a.clients.pageTimeout)
	defer cancel()
	return a.clients.whoami(ctx)
}

// right is something that agents take.
type right struct {
	verb, group, resource string
	cluster               bool
}

func (r right) String() string {
	text := r.verb + " " + r.resource
	if r.group != "" {
		text += "." + r.group
	}
	if r.cluster {
		text += " (of the cluster)"
	}
	return text
}

// AgentRights are what the user must be allowed, in words.
func AgentRights() []string {
	return []string{"create, list and delete jobs.batch", "get and list pods", "create pods/portforward"}
}

var (
	rightsToMake = []right{{"create", "batch", "jobs", false}, {"list", "batch", "jobs", false}, {"delete", "batch", "jobs", false}}
	rightsToUse  = []right{{"list", "", "pods", false}, {"get", "", "pods", false}, {"create", "", "pods/portforward", false}}
)

// Missing returns the rights that the user lacks in a namespace, to make agents
// and to use those that somebody made.
func (a *Agents) Missing(ctx context.Context, namespace string) (toMake, toUse []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.clients.pageTimeout)
	defer cancel()
	if toMake, err = a.denied(ctx, namespace, rightsToMake); err != nil {
		return nil, nil, err
	}
	toUse, err = a.denied(ctx, namespace, rightsToUse)
	return toMake, toUse, err
}

func (a *Agents) denied(ctx context.Context, namespace string, rights []right) ([]string, error) {
	answers := make([]error, len(rights))
	no := make([]bool, len(rights))
	var wg sync.WaitGroup
	for i, r := range rights {
		wg.Go(func() { no[i], answers[i] = a.refused(ctx, namespace, r) })
	}
	wg.Wait()
	if err := errors.Join(answers...); err != nil {
		return nil, explain(answers[slices.IndexFunc(answers, func(e error) bool { return e != nil })], a.clients.host, "ask for permissions")
	}
	var out []string
	for i, r := range rights {
		if no[i] {
			out = append(out, r.String())
		}
	}
	return out, nil
}

func (a *Agents) refused(ctx context.Context, namespace string, r right) (bool, error) {
	resource, sub := splitResource(r.resource)
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: r.verb, Group: r.group, Resource: resource, Subresource: sub},
	}}
	got, err := a.clients.authorization.SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	return err == nil && !got.Status.Allowed, err
}

// Up makes the Jobs, all or none: what was made before one was refused is
// removed again. A pod like theirs is tried first, where the user may make
// pods, since a Job whose pods are refused is taken all the same. What could not
// be removed again is told. Its errors are *Problem, or ctx's.
func (a *Agents) Up(ctx context.Context, jobs []*batchv1.Job, tell func(string)) error {
	if len(jobs) == 0 {
		return nil
	}
	namespace := jobs[0].Namespace
	toMake, toUse, err := a.Missing(ctx, namespace)
	if err != nil {
		return err
	}
	if missing := append(toMake, toUse...); len(missing) > 0 {
		return &Problem{What: fmt.Sprintf("you may not, in namespace %q: %s", name(namespace), strings.Join(missing, ", ")), Hint: hintManifest}
	}
	seen := map[string]bool{}
	for _, j := range jobs {
		if role := j.Labels[labelRole]; !seen[role] {
			seen[role] = true
			if err := a.try(ctx, j); err != nil {
				return err
			}
		}
	}
	for i, j := range jobs {
		made, err := i, ctx.Err()
		if err == nil {
			if err = a.create(ctx, j); err == nil {
				continue
			}
			if unsettled(err) {
				made++ // it may be there
			}
			err = a.admission(err, fmt.Sprintf("make job %s", j.Name), namespace)
		}
		for _, j := range jobs[:made] {
			if err := a.remove(context.WithoutCancel(ctx), namespace, j.Name); err != nil {
				tell("warning: " + err.Error() + "; if it is there, it ends by itself")
			}
		}
		return err
	}
	return nil
}

// create makes a Job. It is not given up with ctx: a server goes on with what
// nobody waits for any more, and may store the Job after its removal was asked
// for.
func (a *Agents) create(ctx context.Context, j *batchv1.Job) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.clients.pageTimeout)
	defer cancel()
	_, err := a.batch.Jobs(j.Namespace).Create(ctx, j, metav1.CreateOptions{})
	return err
}

// unsettled reports whether what was asked for may have been done in spite of
// an error: the server did not say no.
func unsettled(err error) bool {
	status := apierrors.APIStatus(nil)
	return !errors.As(err, &status) || status.Status().Code >= 500
}

const hintManifest = "stickytop agents up --dry-run -o yaml, with the same flags, prints the manifest to hand to an administrator"

// try asks for a pod of the job's template without making it.
func (a *Agents) try(ctx context.Context, j *batchv1.Job) error {
	if no, err := a.refused(ctx, j.Namespace, right{"create", "", "pods", false}); no || err != nil {
		return nil // the Job's controller will tell
	}
	ctx, cancel := context.WithTimeout(ctx, a.clients.pageTimeout)
	defer cancel()
	pod := &corev1.Pod{ObjectMeta: *j.Spec.Template.ObjectMeta.DeepCopy(), Spec: *j.Spec.Template.Spec.DeepCopy()}
	pod.GenerateName = j.Name + "-"
	_, err := a.clients.core.Pods(j.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return nil
	}
	return a.admission(err, "make pods", j.Namespace)
}

// admission words a refusal: by Pod Security, by a quota, by anything else that
// guards the namespace.
func (a *Agents) admission(err error, what, namespace string) error {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) || apierrors.IsUnauthorized(err) {
		return explain(err, a.clients.host, what)
	}
	return &Problem{What: fmt.Sprintf("namespace %q refuses to %s: %s", name(namespace), what, refusal(plain(err))), Hint: hintOf(plain(err)), Err: err}
}

func refusal(text string) string {
	if _, why, ok := strings.Cut(text, " is forbidden: "); ok {
		return why
	}
	return text
}

func hintOf(text string) string {
	switch {
	case strings.Contains(text, "violates PodSecurity") && strings.Contains(text, "host"):
		return "a reader of node tables shares its node's network, which takes a namespace with label pod-security.kubernetes.io/enforce: privileged; name one with -n. " + hintManifest
	case strings.Contains(text, "exceeded quota"):
		return fmt.Sprintf("an agent asks for 10m CPU and 32Mi, with limits of %s and %s; fewer --agents may fit", agentCPU, agentMemory)
	}
	return hintManifest
}

// Down removes what it finds of a run, or of every run with "", in a namespace
// ("" for all), and returns how many Jobs that were.
func (a *Agents) Down(ctx context.Context, namespace, run string) (int, error) {
	list, err := a.jobs(ctx, namespace, run)
	if err != nil {
		return 0, err
	}
	var failed []error
	gone := 0
	for _, j := range list {
		if err := a.remove(ctx, j.Namespace, j.Name); err != nil {
			failed = append(failed, err)
			continue
		}
		gone++
	}
	return gone, errors.Join(failed...)
}

// remove deletes a Job; its pods go with it.
func (a *Agents) remove(ctx context.Context, namespace, job string) error {
	ctx, cancel := context.WithTimeout(ctx, a.clients.pageTimeout)
	defer cancel()
	background := metav1.DeletePropagationBackground
	err := a.batch.Jobs(namespace).Delete(ctx, job, metav1.DeleteOptions{PropagationPolicy: &background})
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return explain(err, a.clients.host, fmt.Sprintf("remove job %s/%s", name(namespace), name(job)))
}

func (a *Agents) jobs(ctx context.Context, namespace, run string) ([]batchv1.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, a.clients.pageTimeout)
	defer cancel()
	list, err := a.batch.Jobs(namespace).List(ctx, metav1.ListOptions{LabelSelector: selectorOf(run), Limit: maxAgents})
	if err != nil {
		return nil, explain(err, a.clients.host, "list the agents' jobs")
	}
	return list.Items, nil
}

func selectorOf(run string) string {
	if run == "" {
		return agentSelector
	}
	return agentSelector + "," + labelRun + "=" + run
}

// maxAgents bounds a list of agents, of all runs.
const maxAgents = 1000

// AgentPod is an agent's pod as the cluster sees it.
type AgentPod struct {
	Namespace string
	Name      string // "" while there is no pod
	Job       string
	Run       string
	Role      string
	By        string
	Node      string
	IP        string // of the pod, which is the node's for role kernel
	HostIP    string
	Port      int // of its loopback; 0 when the pod does not say
	Phase     string
	Why       string // it is not running; "" when it is, or when nothing says
	Created   time.Time
	Ends      time.Time // at the latest; zero when not said
	Ready     bool
}

// List returns the agents of a run, or of all, in a namespace, or in all.
func (a *Agents) List(ctx context.Context, namespace, run string) ([]AgentPod, error) {
	ctx, cancel := context.WithTimeout(ctx, a.clients.pageTimeout)
	defer cancel()
	list, err := a.clients.core.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selectorOf(run), Limit: maxAgents})
	if err != nil {
		return nil, explain(err, a.clients.host, "list the agents' pods")
	}
	var all []AgentPod
	for i := range list.Items {
		all = append(all, agentPod(&list.Items[i]))
	}
	slices.SortFunc(all, func(x, y AgentPod) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Run, y.Run), cmp.Compare(x.Job, y.Job), cmp.Compare(x.Name, y.Name))
	})
	return all, nil
}

func agentPod(p *corev1.Pod) AgentPod {
	out := AgentPod{Namespace: name(p.Namespace), Name: name(p.Name), Run: name(p.Labels[labelRun]), Role: name(p.Labels[labelRole]),
		Job: name(p.Labels[batchv1.JobNameLabel]), By: name(p.Annotations[noteWho]), Node: name(p.Spec.NodeName), IP: name(p.Status.PodIP),
		HostIP: name(p.Status.HostIP), Phase: name(string(p.Status.Phase)), Created: p.CreationTimestamp.Time}
	if n, err := strconv.Atoi(p.Annotations[notePort]); err == nil && n > 0 && n < 65536 {
		out.Port = n
	}
	if at, err := time.Parse(time.RFC3339, p.Annotations[noteEnds]); err == nil {
		out.Ends = at
	}
	if p.DeletionTimestamp != nil {
		out.Phase = "Terminating"
	}
	out.Ready = p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning && conditionTrue(p, corev1.PodReady)
	out.Why = whyNot(p)
	return out
}

// whyNot says what keeps a pod from running.
func whyNot(p *corev1.Pod) string {
	if p.Status.Phase == corev1.PodFailed && p.Status.Reason != "" { // Evicted, Preempting, NodeShutdown…
		return affinity.Clean(strings.TrimSuffix("ended: "+p.Status.Reason+": "+p.Status.Message, ": "), maxError)
	}
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "" {
			return affinity.Clean(strings.TrimSuffix(w.Reason+": "+w.Message, ": "), maxError)
		}
		if t := c.State.Terminated; t != nil {
			return affinity.Clean(strings.TrimSuffix(fmt.Sprintf("ended with code %d: %s", t.ExitCode, strings.TrimSpace(t.Reason+" "+t.Message)), ": "), maxError)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return affinity.Clean("not scheduled: "+c.Message, maxError)
		}
	}
	return affinity.Clean(p.Status.Message, maxError)
}

// imagePatience is how long an image may fail to be pulled, or pods may be
// refused, before that is taken for the last word: a registry that is away for a
// moment is asked again, and a quota may have room by then.
const imagePatience = 10 * time.Second

// quietWait is how long a pod may take to start before it is said that nothing
// tells why.
const quietWait = 5 * time.Second

// waits says what an agent that is not ready waits for.
func (p AgentPod) waits() string {
	switch {
	case p.Why != "":
		return p.Why
	case p.Node == "":
		return "not scheduled yet: no node has taken it, and nothing says why"
	}
	return cmp.Or(p.Phase, "not started") + " on " + p.Node + ", not ready yet"
}

// refusalLook is how often a Job that has no pod is asked why.
const refusalLook = 2 * time.Second

// Wait returns the pods of a run once all n of them are ready, or a *Problem
// that says what keeps one from it. On the way tell gets what keeps each of them
// waiting, when that changes.
func (a *Agents) Wait(ctx context.Context, namespace, run string, n int, tell func(string)) ([]AgentPod, error) {
	began := time.Now()
	var all []AgentPod
	said, unpulled := map[string]string{}, map[string]time.Time{}
	var looked, refused time.Time
	for {
		got, err := a.List(ctx, namespace, run)
		if err != nil && ctx.Err() == nil {
			return nil, err
		} else if err == nil {
			all = got
		}
		if len(all) < n && err == nil && time.Since(began) > refusalLook/2 && time.Since(looked) > refusalLook {
			looked = time.Now()
			why, lost := a.podless(ctx, namespace, run, n)
			problem := &Problem{What: fmt.Sprintf("%d of %d agents have no pod: %s", n-len(all), n, why)}
			switch {
			case why == "":
				refused = time.Time{}
			case lost:
				return nil, problem
			case refused.IsZero():
				refused = looked
				tell("no pod was made for an agent: " + why)
			case time.Since(refused) >= imagePatience:
				problem.Hint = hintOf(why)
				return nil, problem
			}
		}
		ready := 0
		for _, p := range all {
			if p.Ready {
				ready++
				continue
			}
			if !strings.HasPrefix(p.Why, "ErrImagePull") {
				delete(unpulled, p.Name)
			} else if unpulled[p.Name].IsZero() {
				unpulled[p.Name] = time.Now()
			}
			if since := unpulled[p.Name]; hopeless(p.Why) || !since.IsZero() && time.Since(since) >= imagePatience {
				return nil, &Problem{What: fmt.Sprintf("agent %s does not start: %s", p.Name, p.Why), Hint: hintImage(p.Why)}
			}
			if why := p.waits(); (p.Why != "" || time.Since(began) >= quietWait) && said[p.Name] != why {
				said[p.Name] = why
				tell("agent " + p.Name + ": " + why)
			}
		}
		if ready >= n {
			return all, nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, a.late(context.WithoutCancel(ctx), all, namespace, run, n, ready, time.Since(began))
		case <-time.After(400 * time.Millisecond):
		}
	}
}

// podless says why agents have no pods; lost is true where no pod will come any
// more.
func (a *Agents) podless(ctx context.Context, namespace, run string, n int) (why string, lost bool) {
	if jobs, err := a.jobs(ctx, namespace, run); err == nil {
		if len(jobs) < n {
			return "their Jobs were deleted by somebody else", true
		}
		for i := range jobs {
			for _, c := range jobs[i].Status.Conditions {
				if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobFailed || c.Type == batchv1.JobComplete) {
					return "the pod of job " + name(jobs[i].Name) + " is gone: " + affinity.Clean(strings.TrimSuffix(cmp.Or(c.Reason, string(c.Type))+": "+c.Message, ": "), maxError), true
				}
			}
		}
	}
	return a.refusedPods(ctx, namespace, run), false
}

// Fate says what became of an agent that does not answer; "" where its pod runs,
// or nothing tells.
func (a *Agents) Fate(ctx context.Context, p AgentPod) string {
	all, err := a.List(ctx, p.Namespace, p.Run)
	if err != nil {
		return ""
	}
	at := slices.IndexFunc(all, func(x AgentPod) bool { return x.Name == p.Name })
	switch {
	case at < 0:
		return "its pod was deleted"
	case all[at].Phase == "Terminating":
		return "its pod is being deleted"
	case all[at].Why != "":
		return all[at].Why
	case all[at].Phase == string(corev1.PodSucceeded):
		return "it has ended"
	}
	return ""
}

func hopeless(why string) bool {
	return slices.ContainsFunc([]string{"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "RunContainerError", "ended with code", "ended: "},
		func(reason string) bool { return strings.HasPrefix(why, reason) })
}

func hintImage(why string) string {
	if strings.Contains(why, "Image") {
		return "--image names the image of agents, --image-pull-secret what is needed to pull it"
	}
	return ""
}

// late says why agents are not there in time, as far as the cluster tells.
func (a *Agents) late(ctx context.Context, pods []AgentPod, namespace, run string, n, ready int, took time.Duration) error {
	p := &Problem{What: fmt.Sprintf("%d of %d agents are ready after %s", ready, n, took.Round(time.Second))}
	for _, pod := range pods {
		if !pod.Ready {
			p.What += ": " + pod.Name + ": " + pod.waits()
			p.Hint = hintImage(pod.Why)
			return p
		}
	}
	if len(pods) < n {
		if why := a.refusedPods(ctx, namespace, run); why != "" {
			p.What, p.Hint = p.What+": "+why, hintOf(why)
		}
	}
	return p
}

// refusedPods is what the Jobs' controller says of pods that it could not make.
func (a *Agents) refusedPods(ctx context.Context, namespace, run string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	list, err := a.clients.core.Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=FailedCreate", Limit: maxAgents})
	if err != nil {
		return ""
	}
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == "Job" && strings.HasPrefix(e.InvolvedObject.Name, "stickytop-"+run+"-") {
			return refusal(affinity.Clean(e.Message, maxError))
		}
	}
	return ""
}

// Nodes returns the names of the nodes whose tables can be read: Linux ones.
func (a *Agents) Nodes(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.clients.pageTimeout)
	defer cancel()
	list, err := a.clients.core.Nodes().List(ctx, metav1.ListOptions{Limit: maxAgents})
	if err != nil {
		if apierrors.IsForbidden(err) {
			return nil, &Problem{What: "nodes may not be listed, so it is not known where to read", Hint: "name them: --node NODE, as often as needed", Err: err}
		}
		return nil, explain(err, a.clients.host, "list nodes")
	}
	var names []string
	for i := range list.Items {
		if n := &list.Items[i]; n.Labels[corev1.LabelOSStable] != "windows" && n.Status.NodeInfo.OperatingSystem != "windows" {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Dataplane looks what keeps pins by address on the nodes; the zero value when
// nothing tells.
func (a *Agents) Dataplane(ctx context.Context) affinity.Dataplane {
	plane, _ := (&Dataplane{clients: a.clients}).Detect(ctx)
	return plane
}

// Dialer returns port-forwards to an agent's loopback, on one connection of its
// own, which ends with ctx.
func (a *Agents) Dialer(ctx context.Context, p AgentPod) (*ControllerDialer, error) {
	return NewControllerDialer(ctx, a.config, ControllerOptions{Target: p.Namespace + "/" + p.Name, Namespace: p.Namespace, Version: a.version})
}
