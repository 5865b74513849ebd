// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/injection"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	nodepoolutils "sigs.k8s.io/karpenter/pkg/utils/nodepool"
)

// Karpenter's defaults (pkg/operator/options): one CPU requested is one goroutine that schedules.
func defaults() context.Context {
	return options.ToContext(injection.WithControllerName(context.Background(), "provisioner"), &options.Options{
		CPURequests: 1000, PreferencePolicy: options.PreferencePolicyRespect, MinValuesPolicy: options.MinValuesPolicyStrict,
		IgnoreDRARequests: true, FeatureGates: options.FeatureGates{ReservedCapacity: true}})
}

// What the scheduler reads of the API server: the nodes and the pods on them.
func (w *world) client() client.Client {
	objects := []runtime.Object{}
	for _, node := range w.nodes {
		objects = append(objects, node)
	}
	for _, pod := range w.bound {
		objects = append(objects, pod)
	}
	return fake.NewClientBuilder().WithScheme(scheme.Scheme).WithRuntimeObjects(objects...).
		WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
		Build()
}

func (w *world) cluster(ctx context.Context, kube client.Client) (*state.Cluster, error) {
	cluster := state.NewCluster(clock.RealClock{}, kube, nil)
	for _, node := range w.nodes {
		if err := cluster.UpdateNode(ctx, node.DeepCopy()); err != nil {
			return nil, err
		}
	}
	for _, pod := range w.bound {
		if err := cluster.UpdatePod(ctx, pod); err != nil {
			return nil, err
		}
	}
	return cluster, nil
}

// As Provisioner.NewScheduler and Provisioner.Schedule do it, without the minute after which they stop.
func solve(w *world) (scheduling.Results, error) {
	ctx := defaults()
	kube := w.client()
	cluster, err := w.cluster(ctx, kube)
	if err != nil {
		return scheduling.Results{}, err
	}
	pools := append([]*karpv1.NodePool(nil), w.pools...)
	nodepoolutils.OrderByWeight(pools)
	types := map[string][]*cloudprovider.InstanceType{}
	for _, pool := range pools {
		class := w.classes[pool.Spec.Template.Spec.NodeClassRef.Name]
		if types[pool.Name], err = w.catalog.instanceTypes(class); err != nil {
			return scheduling.Results{}, err
		}
	}
	opts := []scheduling.Options{scheduling.DisableReservedCapacityFallback, scheduling.NumConcurrentReconciles(1),
		scheduling.MinValuesPolicy(options.MinValuesPolicyStrict)}
	nodes := cluster.DeepCopyNodes().Active()
	topology, err := scheduling.NewTopology(ctx, kube, cluster, nodes, pools, types, w.pods, opts...)
	if err != nil {
		return scheduling.Results{}, err
	}
	scheduler := scheduling.NewScheduler(ctx, kube, pools, cluster, nodes, topology, types, w.daemons,
		events.NewRecorder(&record.FakeRecorder{}), clock.RealClock{}, nil, nil, opts...)
	results, err := scheduler.Solve(ctx, w.pods)
	if err != nil {
		return scheduling.Results{}, err
	}
	return results.TruncateInstanceTypes(ctx, scheduling.MaxInstanceTypes), nil
}

type cheapest struct {
	Type         string `json:"type"`
	Zone         string `json:"zone"`
	CapacityType string `json:"capacity_type"`
}

type plannedNode struct {
	Name          string   `json:"name"`
	Pool          string   `json:"pool"`
	Pods          []string `json:"pods"`
	USDPerHour    float64  `json:"usd_per_hour"`
	Cheapest      cheapest `json:"cheapest"`
	Types         []string `json:"types"`
	Zones         []string `json:"zones"`
	CapacityTypes []string `json:"capacity_types"`
}

type existingNode struct {
	Name string   `json:"name"`
	Pods []string `json:"pods"`
}

type unschedulable struct {
	Pod string `json:"pod"`
	Why string `json:"why"`
}

type plan struct {
	Case          string          `json:"case,omitempty"`
	Nodes         []plannedNode   `json:"nodes"`
	Existing      []existingNode  `json:"existing"`
	Unschedulable []unschedulable `json:"unschedulable"`
	Totals        struct {
		Pods       int     `json:"pods"`
		Placed     int     `json:"placed"`
		Nodes      int     `json:"nodes"`
		USDPerHour float64 `json:"usd_per_hour"`
		Seconds    float64 `json:"seconds"` // of processor time
	} `json:"totals"`
	// Of the process, after its files were read and after the plan was made.
	Usage struct {
		Loaded  usage `json:"loaded"`
		Planned usage `json:"planned"`
	} `json:"usage"`
}

func names(pods []*corev1.Pod) []string {
	all := make([]string, 0, len(pods))
	for _, pod := range pods {
		all = append(all, pod.Namespace+"/"+pod.Name)
	}
	sort.Strings(all)
	return all
}

func describe(w *world, results scheduling.Results) *plan {
	made := &plan{Nodes: []plannedNode{}, Existing: []existingNode{}, Unschedulable: []unschedulable{}}
	for i, claim := range results.NewNodeClaims {
		node := describeNode(claim)
		node.Name = fmt.Sprintf("new-%d", i+1)
		made.Totals.USDPerHour += node.USDPerHour
		made.Totals.Placed += len(node.Pods)
		made.Nodes = append(made.Nodes, node)
	}
	for _, node := range results.ExistingNodes {
		if len(node.Pods) > 0 {
			made.Existing = append(made.Existing, existingNode{node.Name(), names(node.Pods)})
			made.Totals.Placed += len(node.Pods)
		}
	}
	for pod, err := range results.PodErrors {
		made.Unschedulable = append(made.Unschedulable, unschedulable{pod.Namespace + "/" + pod.Name, err.Error()})
	}
	sort.Slice(made.Unschedulable, func(i, j int) bool { return made.Unschedulable[i].Pod < made.Unschedulable[j].Pod })
	made.Totals.Pods, made.Totals.Nodes = len(w.pods), len(made.Nodes)
	return made
}

// The offerings that a NodeClaim may be launched with are those of its types that its requirements allow:
// every allowed zone with every allowed capacity type, where it is sold.
func describeNode(claim *scheduling.NodeClaim) plannedNode {
	node := plannedNode{Pool: claim.NodePoolName, Pods: names(claim.Pods), USDPerHour: math.Inf(1)}
	zones, capacityTypes := map[string]bool{}, map[string]bool{}
	for _, t := range claim.InstanceTypeOptions {
		for _, offering := range t.Offerings.Available().Compatible(claim.Requirements) {
			zones[offering.Zone()], capacityTypes[offering.CapacityType()] = true, true
			if offering.Price < node.USDPerHour {
				node.USDPerHour = offering.Price
				node.Cheapest = cheapest{t.Name, offering.Zone(), offering.CapacityType()}
			}
		}
		node.Types = append(node.Types, t.Name)
	}
	sort.Strings(node.Types)
	node.Zones, node.CapacityTypes = sortedKeys(zones), sortedKeys(capacityTypes)
	return node
}
