// Opens GraphiQL on this server's own endpoint; the Headers tab carries the access token.
const fetcher = GraphiQL.createFetcher({
  url: location.origin + location.pathname,
  fetch: (url, request) => {
    const headers = new Headers(request.headers);
    if (/^Bearer\s*$/.test(headers.get("authorization") ?? "")) {
      headers.delete("authorization"); // No token yet: the schema can be read without one.
    }
    return fetch(url, { ...request, headers });
  },
});
const defaultQuery = `# Put an access token from /oauth/token
# into the tab "Headers" below, then press Ctrl-Enter.

{
  partner {
    name
    agreement { startsAt terms { earnRate burnCap } }
    position { period issued pending redeemed }
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
