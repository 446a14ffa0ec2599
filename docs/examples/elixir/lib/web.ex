defmodule Web do
  @moduledoc "A node of a cluster that serves its port, and finishes the requests that it has begun before it ends."
  use Application

  def start(_type, _arguments) do
    seeds = System.get_env("SEEDS", "") |> String.split() |> Enum.map(&String.to_atom/1)
    for seed <- seeds, seed != node(), do: Node.connect(seed)
    port = String.to_integer(System.get_env("PORT", "4000"))

    {:ok, socket} =
      :gen_tcp.listen(port, [:binary, packet: :http_bin, active: false, reuseaddr: true, ip: {127, 0, 0, 1}])

    children = [{Task.Supervisor, name: Web.Requests}, {Task, fn -> accept(socket) end}]
    {:ok, pid} = Supervisor.start_link(children, strategy: :one_for_one)
    IO.puts("#{node()} is ready on port #{port}")
    {:ok, pid, socket}
  end

  def prep_stop(socket) do
    IO.puts("finishing")
    :gen_tcp.close(socket)

    for {_, pid, _, _} <- Supervisor.which_children(Web.Requests) do
      reference = Process.monitor(pid)
      receive do: ({:DOWN, ^reference, _, _, _} -> :ok), after: (8000 -> :ok)
    end

    socket
  end

  defp accept(listener) do
    case :gen_tcp.accept(listener) do
      {:ok, socket} ->
        {:ok, pid} = Task.Supervisor.start_child(Web.Requests, fn -> receive do: (:go -> serve(socket)) end)
        :ok = :gen_tcp.controlling_process(socket, pid)
        send(pid, :go)
        accept(listener)

      {:error, :closed} ->
        Process.sleep(:infinity)
    end
  end

  defp serve(socket) do
    case :gen_tcp.recv(socket, 0, 5000) do
      {:ok, {:http_request, :GET, {:abs_path, path}, _}} -> answer(socket, path)
      _ -> :ok
    end

    :gen_tcp.close(socket)
  end

  defp answer(socket, "/nodes"), do: reply(socket, "#{length(Node.list()) + 1}\n")

  defp answer(socket, "/slow/" <> time) do
    Process.sleep(String.to_integer(time))
    reply(socket, "slept\n")
  end

  defp answer(socket, _), do: reply(socket, "hello from #{node()}\n")

  defp reply(socket, body) do
    head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: #{byte_size(body)}\r\n\r\n"
    :gen_tcp.send(socket, [head, body])
  end
end
