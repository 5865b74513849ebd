// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/utils/daemonset"
)

// What of an EC2NodeClass says what its nodes have.
type nodeClass struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		AMIFamily           string `json:"amiFamily"`
		AMISelectorTerms    []struct{ Alias string }
		InstanceStorePolicy string
		BlockDeviceMappings []struct {
			DeviceName string
			RootVolume bool
			EBS        struct{ VolumeSize string }
		}
		Kubelet struct {
			MaxPods, PodsPerCore         *int64
			KubeReserved, SystemReserved map[string]string
			EvictionHard                 map[string]string
		}
	}
}

func (c *nodeClass) family() string {
	for _, term := range c.Spec.AMISelectorTerms {
		if family, _, ok := strings.Cut(term.Alias, "@"); ok {
			return strings.ToLower(family)
		}
	}
	return strings.ToLower(c.Spec.AMIFamily)
}

// Everything that a plan is made of.
type world struct {
	pools   []*karpv1.NodePool
	classes map[string]*nodeClass
	catalog catalog
	pods    []*corev1.Pod // that want a place
	bound   []*corev1.Pod // that have one
	daemons []*corev1.Pod // one of each DaemonSet
	nodes   []*corev1.Node
}

func readWorld(config, catalogFile string) (*world, error) {
	w := &world{classes: map[string]*nodeClass{}}
	text, err := os.ReadFile(catalogFile)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &w.catalog); err != nil {
		return nil, fmt.Errorf("%s: %w", catalogFile, err)
	}
	entries, err := os.ReadDir(config)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		path := filepath.Join(config, entry.Name())
		if err := eachDocument(path, w.addConfig); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return w, nil
}

func (w *world) readPods(files []string) error {
	for _, file := range files {
		if err := eachDocument(file, w.addPods); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// Nodes and the pods on them.
func (w *world) readNodes(file string) error {
	return eachDocument(file, func(kind string, text []byte) error {
		if kind != "Node" {
			return w.addPods(kind, text)
		}
		node := &corev1.Node{}
		if err := json.Unmarshal(text, node); err != nil {
			return err
		}
		node.Spec.ProviderID = "aws:///" + node.Name
		w.nodes = append(w.nodes, node)
		return nil
	})
}

func (w *world) addConfig(kind string, text []byte) error {
	switch kind {
	case "NodePool":
		pool := &karpv1.NodePool{}
		if err := json.Unmarshal(text, pool); err != nil {
			return err
		}
		w.pools = append(w.pools, pool)
	case "EC2NodeClass":
		class := &nodeClass{}
		if err := json.Unmarshal(text, class); err != nil {
			return err
		}
		w.classes[class.Name] = class
	}
	return nil
}

func (w *world) addPods(kind string, text []byte) error {
	var template corev1.PodTemplateSpec
	var meta metav1.ObjectMeta
	replicas := int32(1)
	switch kind {
	case "Pod":
		pod := &corev1.Pod{}
		if err := json.Unmarshal(text, pod); err != nil {
			return err
		}
		w.addPod(pod)
		return nil
	case "DaemonSet":
		set := &appsv1.DaemonSet{}
		if err := json.Unmarshal(text, set); err != nil {
			return err
		}
		w.daemons = append(w.daemons, daemonset.PodForDaemonSet(set))
		return nil
	case "Deployment", "ReplicaSet", "StatefulSet":
		// The three say their template and count with the same names.
		deployment := &appsv1.Deployment{}
		if err := json.Unmarshal(text, deployment); err != nil {
			return err
		}
		meta, template = deployment.ObjectMeta, deployment.Spec.Template
		if deployment.Spec.Replicas != nil {
			replicas = *deployment.Spec.Replicas
		}
	case "Job":
		job := &batchv1.Job{}
		if err := json.Unmarshal(text, job); err != nil {
			return err
		}
		meta, template = job.ObjectMeta, job.Spec.Template
		if job.Spec.Parallelism != nil {
			replicas = *job.Spec.Parallelism
		}
	default:
		return fmt.Errorf("kind %q is no pod or workload", kind)
	}
	for i := range replicas {
		pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
		pod.Namespace, pod.Name = meta.Namespace, fmt.Sprintf("%s-%d", meta.Name, i)
		w.addPod(pod)
	}
	return nil
}

func (w *world) addPod(pod *corev1.Pod) {
	if pod.Namespace == "" {
		pod.Namespace = "default"
	}
	// The scheduler breaks ties by UID: here the order of the files.
	pod.UID = types.UID(fmt.Sprintf("%08d", len(w.pods)+len(w.bound)))
	if pod.Spec.NodeName != "" {
		pod.Status.Phase = corev1.PodRunning
		w.bound = append(w.bound, pod)
		return
	}
	pod.Status.Phase = corev1.PodPending
	w.pods = append(w.pods, pod)
}

// Calls add for each document of a YAML or JSON file, those of a List one by one.
func eachDocument(file string, add func(kind string, text []byte) error) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := addDocument(raw, add); err != nil {
			return err
		}
	}
}

func addDocument(raw json.RawMessage, add func(kind string, text []byte) error) error {
	var head struct {
		Kind  string
		Items []json.RawMessage
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if !strings.HasSuffix(head.Kind, "List") {
		return add(head.Kind, raw)
	}
	for _, item := range head.Items {
		if err := addDocument(item, add); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[V any](of map[string]V) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
