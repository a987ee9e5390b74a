"""Bringing up a SuperLink and gateways: certificates, keys, checks before a machine joins."""
