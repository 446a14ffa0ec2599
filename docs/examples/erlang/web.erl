%% A node of a cluster: it connects to the first ones by name, serves its port, and finishes requests before it ends.
-module(web).
-behaviour(application).
-export([main/0, start/2, prep_stop/1, stop/1, serve/1]).

main() ->
    ok = application:load({application, web, [{mod, {web, []}}, {applications, [kernel, stdlib]}, {modules, [web]}]}),
    {ok, _} = application:ensure_all_started(web, permanent).

start(_Type, _Arguments) ->
    [net_kernel:connect_node(list_to_atom(Node)) || Node <- string:lexemes(os:getenv("SEEDS", ""), " "), Node =/= atom_to_list(node())],
    Port = list_to_integer(os:getenv("PORT", "8080")),
    {ok, Socket} = gen_tcp:listen(Port, [binary, {packet, http_bin}, {active, false}, {reuseaddr, true}, {ip, {127, 0, 0, 1}}]),
    register(requests, spawn(fun() -> count(0, none) end)),
    spawn(fun() -> accept(Socket) end),
    io:format("~s is ready on port ~p~n", [node(), Port]),
    {ok, spawn_link(fun() -> receive stop -> ok end end), Socket}.

prep_stop(Socket) ->
    io:format("finishing~n"),
    gen_tcp:close(Socket),
    requests ! {wait, self()},
    receive idle -> ok after 8000 -> ok end,
    Socket.

stop(_State) -> ok.

accept(Listen) ->
    case gen_tcp:accept(Listen) of
        {ok, Socket} ->
            Server = spawn(fun() -> receive go -> serve(Socket) end end),
            ok = gen_tcp:controlling_process(Socket, Server),
            Server ! go,
            accept(Listen);
        {error, closed} -> ok
    end.

serve(Socket) ->
    requests ! begun,
    case gen_tcp:recv(Socket, 0, 5000) of
        {ok, {http_request, 'GET', {abs_path, Path}, _}} -> answer(Socket, Path);
        _ -> ok
    end,
    gen_tcp:close(Socket),
    requests ! ended.

answer(Socket, <<"/nodes">>) -> reply(Socket, io_lib:format("~p~n", [length(nodes()) + 1]));
answer(Socket, <<"/slow/", Time/binary>>) -> timer:sleep(binary_to_integer(Time)), reply(Socket, "slept\n");
answer(Socket, _) -> reply(Socket, io_lib:format("hello from ~s~n", [node()])).

reply(Socket, Body) ->
    Text = iolist_to_binary(Body),
    gen_tcp:send(Socket, ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", integer_to_list(byte_size(Text)), "\r\n\r\n", Text]).

count(0, Waiter) when is_pid(Waiter) -> Waiter ! idle, count(0, none);
count(Number, Waiter) ->
    receive
        begun -> count(Number + 1, Waiter);
        ended -> count(Number - 1, Waiter);
        {wait, Pid} -> count(Number, Pid)
    end.
