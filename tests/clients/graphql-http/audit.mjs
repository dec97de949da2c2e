// Runs every audit of GraphQL over HTTP against the address given and prints the outcomes as JSON.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
const outcomes = results.map(({ id, name, status, reason }) => ({ id, name, status, reason: reason ?? null }));
console.log(JSON.stringify(outcomes));
