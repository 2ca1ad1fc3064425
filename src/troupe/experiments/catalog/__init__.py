"""The bundled experiments, one YAML file each."""
