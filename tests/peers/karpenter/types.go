// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"
	"sigs.k8s.io/karpenter/pkg/utils/resources"
)

// The catalog as forerun writes it (docs/capacity.md).
type catalog struct {
	Region string
	Types  []instanceType
	Zones  [][3]any // type, zone, spot price or null
}

type accelerator struct {
	Manufacturer, Name string
	Count              int64
	MemoryMiB          int64 `json:"memory_mib"`
}

type instanceType struct {
	Name            string
	Arch            []string
	VCPUs           int64
	MemoryMiB       int64 `json:"memory_mib"`
	Hypervisor      string
	CPUManufacturer string `json:"cpu_manufacturer"`
	CPUClockMHz     int64  `json:"cpu_clock_mhz"`
	Interfaces      int64
	Addresses       int64 `json:"addresses_per_interface"`
	NetworkMbps     int64 `json:"network_mbps"`
	EBSMbps         int64 `json:"ebs_mbps"`
	LocalDiskGB     int64 `json:"local_disk_gb"`
	LocalNVMeGB     int64 `json:"local_nvme_gb"`
	GPUs            *accelerator
	Accelerators    *accelerator
	NeuronDevices   int64    `json:"neuron_devices"`
	NeuronCores     int64    `json:"neuron_cores"`
	EFA             int64    `json:"efa"`
	PodENI          int64    `json:"pod_eni"`
	Encryption      bool     `json:"encryption_in_transit"`
	Spot            bool     `json:"spot"`
	OnDemand        bool     `json:"on_demand"`
	USDPerHour      *float64 `json:"usd_per_hour"`
}

const (
	vmMemoryOverheadPercent = 0.075
	aws                     = "karpenter.k8s.aws/"
)

// The labels that Karpenter's provider for AWS makes known (its pkg/apis/v1/labels.go), without those
// that no node of a catalog has.
var awsLabels = []string{
	"instance-category", "instance-family", "instance-generation", "instance-size", "instance-cpu",
	"instance-cpu-manufacturer", "instance-cpu-sustained-clock-speed-mhz", "instance-memory",
	"instance-ebs-bandwidth", "instance-network-bandwidth", "instance-local-nvme", "instance-hypervisor",
	"instance-encryption-in-transit-supported", "instance-capability-flex", "instance-gpu-name",
	"instance-gpu-manufacturer", "instance-gpu-count", "instance-gpu-memory", "instance-accelerator-name",
	"instance-accelerator-manufacturer", "instance-accelerator-count",
}

func init() {
	for _, label := range awsLabels {
		karpv1.WellKnownLabels.Insert(aws + label)
	}
}

var nameScheme = regexp.MustCompile(`^([a-z]+)(?:-[0-9]+tb)?([0-9]+)`)

// The labels of a type; "" where it has none.
func (t *instanceType) labels() map[string]string {
	number := func(value int64) string {
		if value == 0 {
			return ""
		}
		return strconv.FormatInt(value, 10)
	}
	family, size, _ := strings.Cut(t.Name, ".")
	labels := map[string]string{
		"instance-family": family, "instance-size": size,
		"instance-cpu": number(t.VCPUs), "instance-memory": number(t.MemoryMiB),
		"instance-cpu-manufacturer":                t.CPUManufacturer,
		"instance-cpu-sustained-clock-speed-mhz":   strconv.FormatInt(t.CPUClockMHz, 10),
		"instance-ebs-bandwidth":                   number(t.EBSMbps),
		"instance-network-bandwidth":               number(t.NetworkMbps),
		"instance-local-nvme":                      number(t.LocalNVMeGB),
		"instance-hypervisor":                      t.Hypervisor,
		"instance-encryption-in-transit-supported": strconv.FormatBool(t.Encryption),
		"instance-capability-flex":                 strconv.FormatBool(strings.Contains(family, "-flex")),
	}
	if parts := nameScheme.FindStringSubmatch(t.Name); parts != nil {
		labels["instance-category"], labels["instance-generation"] = parts[1], parts[2]
	}
	if t.GPUs != nil { // of some types a share of one: their count is 0
		labels["instance-gpu-name"], labels["instance-gpu-manufacturer"] = t.GPUs.Name, t.GPUs.Manufacturer
		labels["instance-gpu-count"], labels["instance-gpu-memory"] = strconv.FormatInt(t.GPUs.Count, 10), number(t.GPUs.MemoryMiB)
	}
	if a := t.Accelerators; a != nil && a.Count > 0 {
		labels["instance-accelerator-name"], labels["instance-accelerator-manufacturer"] = a.Name, a.Manufacturer
		labels["instance-accelerator-count"] = number(a.Count)
	}
	return labels
}

func (t *instanceType) requirements(region string, offerings cloudprovider.Offerings) scheduling.Requirements {
	var zones, capacityTypes []string
	for _, offering := range offerings {
		zones = append(zones, offering.Zone())
		capacityTypes = append(capacityTypes, offering.CapacityType())
	}
	in := func(key string, values ...string) *scheduling.Requirement {
		return scheduling.NewRequirement(key, corev1.NodeSelectorOpIn, values...)
	}
	all := scheduling.NewRequirements(
		in(corev1.LabelInstanceTypeStable, t.Name), in(corev1.LabelArchStable, t.Arch[0]),
		in(corev1.LabelOSStable, "linux"), in(corev1.LabelTopologyZone, zones...),
		in(corev1.LabelTopologyRegion, region), in(karpv1.CapacityTypeLabelKey, capacityTypes...),
		scheduling.NewRequirement(corev1.LabelWindowsBuild, corev1.NodeSelectorOpDoesNotExist))
	labels := t.labels()
	for _, label := range awsLabels {
		if value := labels[label]; value != "" {
			all.Add(in(aws+label, value))
		} else {
			all.Add(scheduling.NewRequirement(aws+label, corev1.NodeSelectorOpDoesNotExist))
		}
	}
	return all
}

func (t *instanceType) gpus(manufacturer string) int64 {
	if t.GPUs != nil && t.GPUs.Manufacturer == manufacturer {
		return t.GPUs.Count
	}
	return 0
}

func pieces(count int64) resource.Quantity { return *resource.NewQuantity(count, resource.DecimalSI) }

const mebi = int64(1 << 20)

// What EC2 says less the share that the hypervisor takes, in whole MiB.
func (t *instanceType) memory() int64 {
	mib := t.MemoryMiB
	if t.Arch[0] == "arm64" {
		mib -= 64
	}
	return (mib - int64(math.Ceil(float64(mib*mebi)*vmMemoryOverheadPercent/1024/1024))) * mebi
}

func (t *instanceType) addressPods() int64 {
	if t.Interfaces == 0 {
		return 0
	}
	return t.Interfaces*(t.Addresses-1) + 2
}

func (t *instanceType) podsOf(class *nodeClass) int64 {
	count := t.addressPods()
	if class.Spec.Kubelet.MaxPods != nil {
		count = *class.Spec.Kubelet.MaxPods
	} else if strings.HasPrefix(class.family(), "windows") {
		count = 110
	}
	if perCore := class.Spec.Kubelet.PodsPerCore; perCore != nil && *perCore > 0 && class.family() != "bottlerocket" {
		count = min(count, *perCore*t.VCPUs)
	}
	return count
}

func (t *instanceType) storage(class *nodeClass) int64 {
	if class.Spec.InstanceStorePolicy == "RAID0" && t.LocalDiskGB > 0 {
		return t.LocalDiskGB * 1e9
	}
	size := func(text string) int64 { q := resource.MustParse(text); return q.Value() }
	devices := class.Spec.BlockDeviceMappings
	for _, device := range devices {
		if device.RootVolume && device.EBS.VolumeSize != "" {
			return size(device.EBS.VolumeSize)
		}
	}
	own := "/dev/xvda"
	if class.family() == "bottlerocket" {
		own = "/dev/xvdb"
	}
	if class.family() == "custom" && len(devices) > 0 {
		if last := devices[len(devices)-1]; last.EBS.VolumeSize != "" {
			return size(last.EBS.VolumeSize)
		}
	} else {
		for _, device := range devices {
			if device.DeviceName == own && device.EBS.VolumeSize != "" {
				return size(device.EBS.VolumeSize)
			}
		}
	}
	return 20 << 30
}

func (t *instanceType) capacity(class *nodeClass) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              pieces(t.VCPUs),
		corev1.ResourceMemory:           *resource.NewQuantity(t.memory(), resource.BinarySI),
		corev1.ResourceEphemeralStorage: pieces(t.storage(class)),
		corev1.ResourcePods:             pieces(t.podsOf(class)),
		"vpc.amazonaws.com/pod-eni":     pieces(t.PodENI),
		"nvidia.com/gpu":                pieces(t.gpus("nvidia")),
		"amd.com/gpu":                   pieces(t.gpus("amd")),
		"habana.ai/gaudi":               pieces(t.gpus("habana")),
		"aws.amazon.com/neuron":         pieces(t.NeuronDevices),
		"aws.amazon.com/neuroncore":     pieces(t.NeuronCores),
		"vpc.amazonaws.com/efa":         pieces(t.EFA),
	}
}

// kube-reserved by the formula of EKS, overridden by the class.
func (t *instanceType) kubeReserved(class *nodeClass) corev1.ResourceList {
	pods := t.addressPods()
	if family := class.family(); family == "bottlerocket" || strings.HasPrefix(family, "windows") {
		pods = t.podsOf(class)
	}
	milli, cpu := t.VCPUs*1000, int64(0)
	for _, step := range []struct {
		from, to int64
		share    float64
	}{{0, 1000, 0.06}, {1000, 2000, 0.01}, {2000, 4000, 0.005}, {4000, 1 << 31, 0.0025}} {
		if milli >= step.from {
			cpu += int64(float64(min(milli, step.to)-step.from) * step.share)
		}
	}
	reserved := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewMilliQuantity(cpu, resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity((11*pods+255)*mebi, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(1<<30, resource.BinarySI),
	}
	for name, amount := range quantities(class.Spec.Kubelet.KubeReserved) {
		reserved[name] = amount
	}
	return reserved
}

func quantities(texts map[string]string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, text := range texts {
		list[corev1.ResourceName(name)] = resource.MustParse(text)
	}
	return list
}

func (t *instanceType) eviction(class *nodeClass) corev1.ResourceList {
	threshold := func(signal string, of int64, otherwise int64) resource.Quantity {
		text, given := class.Spec.Kubelet.EvictionHard[signal]
		if !given {
			return *resource.NewQuantity(otherwise, resource.BinarySI)
		}
		if percent, ok := strings.CutSuffix(text, "%"); ok {
			share, _ := strconv.ParseFloat(percent, 64)
			if share == 100 { // kubelet: the threshold is off
				share = 0
			}
			return *resource.NewQuantity(int64(math.Ceil(float64(of)/100*share)), resource.BinarySI)
		}
		return resource.MustParse(text)
	}
	storage := t.storage(class)
	return corev1.ResourceList{
		corev1.ResourceMemory:           threshold("memory.available", t.memory(), 100*mebi),
		corev1.ResourceEphemeralStorage: threshold("nodefs.available", storage, int64(math.Ceil(float64(storage)/100*10))),
	}
}

func (t *instanceType) overhead(class *nodeClass) *cloudprovider.InstanceTypeOverhead {
	return &cloudprovider.InstanceTypeOverhead{KubeReserved: t.kubeReserved(class),
		SystemReserved: quantities(class.Spec.Kubelet.SystemReserved), EvictionThreshold: t.eviction(class)}
}

// Offerings by type name. Spot whose price is not known counts as what it costs on demand.
func (c *catalog) offerings() (map[string]cloudprovider.Offerings, error) {
	types := map[string]*instanceType{}
	for i := range c.Types {
		types[c.Types[i].Name] = &c.Types[i]
	}
	all := map[string]cloudprovider.Offerings{}
	for _, line := range c.Zones {
		name, _ := line[0].(string)
		zone, _ := line[1].(string)
		t := types[name]
		if t == nil {
			return nil, fmt.Errorf("zone line of %q, which is no type", name)
		}
		add := func(capacityType string, price float64) {
			all[name] = append(all[name], &cloudprovider.Offering{Price: price, Available: true, Requirements: scheduling.NewLabelRequirements(
				map[string]string{corev1.LabelTopologyZone: zone, karpv1.CapacityTypeLabelKey: capacityType})})
		}
		if spot, known := line[2].(float64); t.Spot && known {
			add(karpv1.CapacityTypeSpot, spot)
		} else if t.Spot && t.USDPerHour != nil {
			add(karpv1.CapacityTypeSpot, *t.USDPerHour)
		}
		if t.OnDemand && t.USDPerHour != nil {
			add(karpv1.CapacityTypeOnDemand, *t.USDPerHour)
		}
	}
	return all, nil
}

// The instance types as the nodes of a class would be.
func (c *catalog) instanceTypes(class *nodeClass) (cloudprovider.InstanceTypes, error) {
	offerings, err := c.offerings()
	if err != nil {
		return nil, err
	}
	var all cloudprovider.InstanceTypes
	for i := range c.Types {
		t := &c.Types[i]
		all = append(all, &cloudprovider.InstanceType{Name: t.Name, Requirements: t.requirements(c.Region, offerings[t.Name]),
			Offerings: offerings[t.Name], Capacity: t.capacity(class), Overhead: t.overhead(class)})
	}
	return all, nil
}

type capacityOf struct {
	Capacity    map[string]float64 `json:"capacity"`
	Allocatable map[string]float64 `json:"allocatable"`
}

type nodeTable struct {
	Capacity map[string]map[string]capacityOf `json:"capacity"` // by node class and type
	Labels   map[string]map[string]string     `json:"labels"`   // by type, without their prefix
}

func tableOf(w *world) nodeTable {
	table := nodeTable{map[string]map[string]capacityOf{}, map[string]map[string]string{}}
	for name, class := range w.classes {
		table.Capacity[name] = map[string]capacityOf{}
		for i := range w.catalog.Types {
			t := &w.catalog.Types[i]
			capacity := t.capacity(class)
			table.Capacity[name][t.Name] = capacityOf{amounts(capacity), amounts(resources.Subtract(capacity, t.overhead(class).Total()))}
		}
	}
	for i := range w.catalog.Types {
		table.Labels[w.catalog.Types[i].Name] = w.catalog.Types[i].labels()
	}
	return table
}

func amounts(list corev1.ResourceList) map[string]float64 {
	all := map[string]float64{}
	for name, amount := range list {
		if !amount.IsZero() {
			all[string(name)] = amount.AsApproximateFloat64()
		}
	}
	return all
}
