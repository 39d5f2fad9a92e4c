//go:build tools

// Package tools pins a program that the test cluster is made of.
package tools

import _ "go.etcd.io/etcd/server/v3"
