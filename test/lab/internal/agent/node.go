package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	coordination "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// heartbeat reports the node's status and renews its lease until ctx ends.
func (a *Agent) heartbeat(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.report(ctx)
		if err == nil {
			err = a.renewLease(ctx)
		}
		wait := heartbeatPeriod
		if err != nil {
			fmt.Fprintln(os.Stderr, "heartbeat:", err)
			wait = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (a *Agent) report(ctx context.Context) error {
	node, err := a.client.CoreV1().Nodes().Get(ctx, a.node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	since := now
	for _, old := range node.Status.Conditions {
		if old.Type == v1.NodeReady && old.Status == v1.ConditionTrue {
			since = old.LastTransitionTime
		}
	}
	capacity := v1.ResourceList{
		v1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		v1.ResourceMemory: resource.MustParse("8Gi"),
		v1.ResourcePods:   resource.MustParse("110"),
	}
	status := v1.NodeStatus{
		Capacity: capacity, Allocatable: capacity,
		Addresses:       []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: a.ip}, {Type: v1.NodeHostName, Address: a.node}},
		DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: layout.KubeletPort}},
		NodeInfo: v1.NodeSystemInfo{
			OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, KubeletVersion: layout.Kubernetes,
			OSImage: "stickytop lab", ContainerRuntimeVersion: "process://1", KernelVersion: kernel(),
		},
		Conditions: []v1.NodeCondition{{
			Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", Message: "the lab's agent runs",
			LastHeartbeatTime: now, LastTransitionTime: since,
		}},
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	_, err = a.client.CoreV1().Nodes().Patch(ctx, a.node, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

func kernel() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return string(data[:len(data)-1])
}

func (a *Agent) renewLease(ctx context.Context) error {
	leases := a.client.CoordinationV1().Leases(v1.NamespaceNodeLease)
	now, seconds := metav1.NowMicro(), int32(leaseSeconds)
	lease, err := leases.Get(ctx, a.node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordination.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: a.node},
			Spec:       coordination.LeaseSpec{HolderIdentity: &a.node, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}
