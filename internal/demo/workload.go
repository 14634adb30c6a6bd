package demo

import (
	"cmp"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

const labelHash = appsv1.DefaultDeploymentUniqueLabelKey // pod-template-hash

// syncDeployment does one step towards what d wants: a rolling update with
// maxSurge 1 and maxUnavailable 0, which is the default for three replicas.
func (c *cluster) syncDeployment(d *appsv1.Deployment) error {
	current, err := c.replicaSet(d)
	if err != nil {
		return err
	}
	want := int(replicas(d.Spec.Replicas))
	var fresh, old []*corev1.Pod
	ready := 0
	for _, p := range c.podsOf(d) {
		if p.DeletionTimestamp != nil {
			continue
		}
		if isReady(p) {
			ready++
		}
		if p.Labels[labelHash] == current.Labels[labelHash] {
			fresh = append(fresh, p)
		} else {
			old = append(old, p)
		}
	}
	surge := 0
	if len(old) > 0 {
		surge = 1
	}
	missing := min(want-len(fresh), want+surge-len(fresh)-len(old))
	for range missing {
		if err := c.createPod(current, current.Name+"-"+c.names.suffix(5), current.Spec.Template); err != nil {
			return err
		}
	}
	c.deletePods(fresh, len(fresh)-want)
	spare := ready - want
	for _, p := range old { // those that are not ready serve nobody
		if !isReady(p) {
			c.deletePods([]*corev1.Pod{p}, 1)
		}
	}
	c.deletePods(old, min(spare, len(old)))
	c.report(d, current, len(fresh)+len(old), ready, len(fresh))
	return nil
}

// deletePods ends n of pods gracefully: first those that are not ready, then
// the newest, as a ReplicaSet does.
func (c *cluster) deletePods(pods []*corev1.Pod, n int) {
	if n <= 0 {
		return
	}
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		if isReady(a) != isReady(b) {
			if isReady(a) {
				return 1
			}
			return -1
		}
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.UID, a.UID))
	})
	for _, p := range pods[:min(n, len(pods))] {
		c.deletePod(p.Namespace, p.Name)
	}
}

// replicaSet returns the ReplicaSet for d's template, created if need be.
func (c *cluster) replicaSet(d *appsv1.Deployment) (*appsv1.ReplicaSet, error) {
	for _, rs := range apiserver.List[*appsv1.ReplicaSet](c.store, d.Namespace) {
		if !metav1.IsControlledBy(rs, d) {
			continue
		}
		template := rs.Spec.Template.DeepCopy()
		delete(template.Labels, labelHash)
		if equality.Semantic.DeepEqual(*template, d.Spec.Template) {
			return rs, nil
		}
	}
	hash := c.names.suffix(10)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + hash, CreationTimestamp: c.born(),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Template: *d.Spec.Template.DeepCopy()},
	}
	rs.Spec.Template.Labels[labelHash] = hash
	rs.Labels = rs.Spec.Template.Labels
	if err := c.store.Put(rs); err != nil {
		return nil, err
	}
	stored, _ := apiserver.Get[*appsv1.ReplicaSet](c.store, rs.Namespace, rs.Name)
	return stored, nil
}

// podsOf returns the pods of all of d's ReplicaSets.
func (c *cluster) podsOf(d *appsv1.Deployment) []*corev1.Pod {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil
	}
	return c.podsMatching(d.Namespace, selector)
}

// report writes what came of d into its status, and its ReplicaSet's.
func (c *cluster) report(d *appsv1.Deployment, rs *appsv1.ReplicaSet, all, ready, updated int) {
	apiserver.Modify(c.store, d.Namespace, d.Name, func(d *appsv1.Deployment) {
		d.Status = appsv1.DeploymentStatus{
			Replicas: int32(all), ReadyReplicas: int32(ready), AvailableReplicas: int32(ready), UpdatedReplicas: int32(updated),
		}
	})
	apiserver.Modify(c.store, rs.Namespace, rs.Name, func(rs *appsv1.ReplicaSet) {
		rs.Status.Replicas = int32(updated)
	})
}

// syncStatefulSet creates the pods of s in order, each once the one before is
// ready.
func (c *cluster) syncStatefulSet(s *appsv1.StatefulSet) error {
	for i := range int(replicas(s.Spec.Replicas)) {
		name := fmt.Sprintf("%s-%d", s.Name, i)
		if p, found := apiserver.Get[*corev1.Pod](c.store, s.Namespace, name); found {
			if !isReady(p) {
				return nil
			}
			continue
		}
		return c.createPod(s, name, s.Spec.Template)
	}
	return nil
}

// createPod creates a pod that is scheduled already.
func (c *cluster) createPod(owner apiserver.Object, name string, template corev1.PodTemplateSpec) error {
	kind := "ReplicaSet"
	if _, ok := owner.(*appsv1.StatefulSet); ok {
		kind = "StatefulSet"
	}
	node, ip := c.names.place()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.GetNamespace(), Name: name, CreationTimestamp: c.born(),
			Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, appsv1.SchemeGroupVersion.WithKind(kind))},
		},
		Spec:   template.Spec,
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	p.Spec.NodeName = node
	setCondition(p, corev1.PodScheduled, true, p.CreationTimestamp.Time)
	c.addresses[p.Namespace+"/"+p.Name] = ip
	return c.store.Put(p)
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
