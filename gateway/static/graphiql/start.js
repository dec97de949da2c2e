// Opens GraphiQL on this server's own endpoint; the Headers tab carries the access token.
const fetcher = GraphiQL.createFetcher({ url: location.origin + location.pathname });
const defaultQuery = `# Get a token from /oauth/token and put it into the tab "Headers" below:
#   {"Authorization": "Bearer <access token>"}
# Then run this with Ctrl-Enter.

{
  partner {
    name
    position { pointsOutstanding }
  }
}
`;
ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultQuery,
    defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
    defaultEditorToolsVisibility: "headers",
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: true,
  }),
);
