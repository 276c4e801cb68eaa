"""The purpose of each verb, for the list of verbs, each verb's help, and its manual page."""

from __future__ import annotations

VERBS = {
    "up": "Run supervisor, controller and an agent, and deploy a configuration.",
    "controller": "Run a controller.",
    "agent": "Run an agent with its supervisor.",
    "supervise": "Run a set of processes from a file, and nothing else.",
    "systemd": "Print or install the systemd unit of a daemon.",
    "pki": "Make certificates for agents, controllers and clients.",
    "token": "Make tokens by which agents on other hosts join.",
    "check": "Check a cluster configuration without deploying it.",
    "deploy": "Deploy a staged cluster configuration.",
    "deploy-config": "Upload a cluster configuration and deploy it.",
    "get-config": "Retrieve staged or deployed cluster configuration.",
    "get-id-value": "Show the value of a global identifier in Zeek cluster nodes.",
    "get-instances": "Show instances connected to the controller.",
    "get-nodes": "Show active Zeek nodes at each instance.",
    "audit": "Show who asked the controller of this host for changes.",
    "events": "Show what happened: changes of nodes, errors, deployments, instances that come and go.",
    "monitor": "For troubleshooting: do nothing, just report events.",
    "net-stats": "Show how many packets Zeek cluster nodes have seen and lost.",
    "peer-stats": "Show which other nodes Zeek cluster nodes are connected to.",
    "restart": "Restart cluster nodes.",
    "set-option": "Change an option of Zeek's configuration framework in running nodes.",
    "stage-config": "Upload a cluster configuration for later deployment.",
    "stop": "Stop all that zeekfleet runs on this host.",
    "show-settings": "Show the settings in force.",
    "status": "Show the cluster nodes with their histories.",
    "diag": "Show the last crash report of a cluster node.",
    "test-timeout": "Have the controller let a request time out.",
    "version": "Show which release runs, here or in every part of the fleet.",
    "help": "Show what a command does and which options it has.",
}
"""Each verb and what it does; its module has the same name, with underscores."""
