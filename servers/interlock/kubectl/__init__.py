"""The kubectl server: Kubernetes within the policy's contexts, namespaces and kinds."""
