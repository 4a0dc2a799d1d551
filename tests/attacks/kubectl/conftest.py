from kubectl.conftest import place, shared_cluster

__all__ = ["place", "shared_cluster"]
