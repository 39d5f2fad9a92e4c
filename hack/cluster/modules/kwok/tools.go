//go:build tools

// Package tools pins a program that the test cluster is made of.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
