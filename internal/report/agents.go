package report

import (
	"time"

	human "k8s.io/apimachinery/pkg/util/duration"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AgentList is what `agents ls` prints.
type AgentList = List[Agent]

// Agent is a pod of ours.
type Agent struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Run       string            `json:"run"`
	Role      string            `json:"role"`
	Node      string            `json:"node,omitempty"`
	Address   string            `json:"address,omitempty"`
	Phase     string            `json:"phase,omitempty"`
	Ready     bool              `json:"ready"`
	Why       string            `json:"why,omitempty"` // it is not ready, where that is said
	Created   metav1.MicroTime  `json:"created"`
	Ends      *metav1.MicroTime `json:"ends,omitempty"` // at the latest
	By        string            `json:"by,omitempty"`
	Usable    bool              `json:"usable"` // this machine has its token
}

// NewAgents returns the list of agents as they were at an instant.
func NewAgents(at time.Time, agents []Agent) *AgentList {
	list := &AgentList{TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: "AgentList"}, Items: append([]Agent{}, agents...)}
	list.Metadata.At = metav1.NewMicroTime(at)
	return list
}

var agentHeader = []string{"NAMESPACE", "POD", "RUN", "ROLE", "NODE", "ADDRESS", "STATE", "AGE", "ENDS IN", "BY", "HERE"}

func (a *Agent) row(now time.Time) []string {
	state, ends, here := a.Phase, "", "no"
	if a.Ready {
		state = "Ready"
	} else if a.Why != "" {
		state += " (" + a.Why + ")"
	}
	if a.Ends != nil && a.Phase != "Succeeded" && a.Phase != "Failed" {
		ends = human.HumanDuration(max(0, a.Ends.Sub(now)))
	}
	if a.Usable {
		here = "yes"
	}
	return []string{a.Namespace, a.Name, a.Run, a.Role, a.Node, a.Address, state, human.HumanDuration(now.Sub(a.Created.Time)), ends, a.By, here}
}
