//go:build tools

// Package tools pins a program that the test cluster is made of.
package tools

import _ "github.com/traefik/traefik/v3/cmd/traefik"
