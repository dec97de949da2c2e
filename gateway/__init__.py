"""The front door: speaks HTTP, GraphQL and OAuth, reads the environment, and starts what is needed."""
