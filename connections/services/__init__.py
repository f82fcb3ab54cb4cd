"""What the catalogue does. Permission, tenancy, events and quotas live here, once; doors only translate."""
