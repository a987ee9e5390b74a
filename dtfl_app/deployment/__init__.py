"""Bringing up a SuperLink and its gateways: certificates, keys, a check before a machine joins."""
